import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { arch } from 'node:process';
import { encodeArtifact, type Layout, openCheckpoint } from '@entrofleet/artifact';
import { parseRecipe } from '@entrofleet/protocol';
import { LARGE_GEOMETRY } from '../fixtures/large.checkpoint.ts';
import { modelConfig, tensorLayout } from '../fixtures/tiny.checkpoint.ts';
import { tinyTokenizer } from '../fixtures/tiny.tokenizer.ts';
import type { EncodingName } from './ggml.encoding.ts';
import { writeGguf } from './gguf.writer.ts';

const NATIVE = resolve(import.meta.dirname, `../../libs/native/build/linux-${arch}`);
const PROGRAM = join(NATIVE, 'codec_bench');
const GENERATOR = resolve(import.meta.dirname, '../../libs/native/bench/symbol_generator.cc');
const ADDON = join(NATIVE, 'entrofleet.node');
const WRITERS = ['engine.models.ts', 'ggml.encoding.ts', 'gguf.llama.ts', 'gguf.writer.ts'];

/** At this reach u8 takes 5.75 bits and the paper's u4 1.75; at the far one 5.34 and 1.40. */
export const REACH = 10.5;
export const FAR_REACH = 14;

/**
 * Keeps what takes long to make in a folder, and makes it again when what makes it has changed.
 * All weights are of TinyLlama's shape, 1.1 billion.
 */
export class EngineModels {
  readonly #folder: string;
  readonly #threads: number;

  constructor(folder: string, threads: number) {
    this.#folder = folder;
    this.#threads = threads;
  }

  /**
   * A Hugging Face folder in bfloat16 whose weights reach `reach` standard deviations: that decides
   * how many bits a grid from least to greatest takes.
   */
  async checkpoint(reach: number): Promise<string> {
    const folder = join(this.#folder, `reach-${reach}`);
    await this.#once(join(folder, 'model.safetensors'), [GENERATOR], async (path) => {
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, 'config.json'), JSON.stringify(modelConfig(LARGE_GEOMETRY)));
      const { tokenizer, tokenizerConfig } = tinyTokenizer(LARGE_GEOMETRY.vocabularySize);
      await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
      await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(tokenizerConfig));
      const layout = [...tensorLayout(LARGE_GEOMETRY)].map(({ name, shape }) => {
        const [rows = 0, columns = 0] = shape;
        return `${name} ${rows} ${columns}\n`;
      });
      await writeFile(join(folder, 'layout'), layout.join(''));
      const words = { type: 'bf16', reach, layout: join(folder, 'layout'), threads: this.#threads };
      const given = Object.entries(words).flatMap(([key, value]) => [`--${key}`, String(value)]);
      execFileSync(PROGRAM, ['checkpoint', ...given, '--out', path], { stdio: 'inherit' });
    });
    return folder;
  }

  /** An artifact of a Hugging Face folder. */
  async artifact(source: string, recipeText: string, layout: Layout = 'auto'): Promise<string> {
    const recipe = parseRecipe(recipeText);
    if (recipe === undefined) throw new Error(`unknown recipe ${recipeText}`);
    const laid = layout === 'auto' ? '' : `-${layout}`;
    const path = join(this.#folder, `${basename(source)}-${recipeText}${laid}.efa`);
    return this.#once(path, [GENERATOR, ADDON], async () => {
      const checkpoint = await openCheckpoint(source, { threads: this.#threads });
      try {
        await encodeArtifact({ checkpoint, recipe, layout, path, threads: this.#threads });
      } finally {
        await checkpoint.close();
      }
    });
  }

  /** The same weights for llama.cpp. */
  async gguf(source: string, format: EncodingName): Promise<string> {
    const path = join(this.#folder, `${basename(source)}-${format}.gguf`);
    const makers = [GENERATOR, ...WRITERS.map((name) => join(import.meta.dirname, name))];
    return this.#once(path, makers, () => writeGguf(source, path, format));
  }

  /** Files are on the disk when it is done, so that their pages can be dropped from memory. */
  async #once(
    path: string,
    makers: readonly string[],
    make: (path: string) => Promise<void>,
  ): Promise<string> {
    const stampPath = `${path}.made-by`;
    const hash = createHash('sha256');
    for (const maker of makers) hash.update(await readFile(maker));
    const stamp = hash.digest('hex');
    const found = existsSync(path) && existsSync(stampPath) && (await readFile(stampPath, 'utf8'));
    if (found === stamp) return path;
    process.stderr.write(`bench: making ${basename(path)}\n`);
    await mkdir(this.#folder, { recursive: true });
    await rm(path, { force: true });
    await make(path);
    const file = await open(path, 'r+');
    await file.sync();
    await file.close();
    await writeFile(stampPath, stamp);
    return path;
  }
}
