import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { openCheckpoint } from '@entrofleet/artifact';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeFineTuned } from '../fixtures/fine.tuned.checkpoint.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const BINARY = join(ROOT, 'apps/cli/dist/main.js');
const SHARED = resolve(ROOT, '../shared/models');
const IDS = [1, 300, 301, 302, 310, 11, 12];

let folder: string;
let model: string;
let artifact: string;
let idsFile: string;

const at = (name: string): string => join(folder, name);

function entrofleet(...argv: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [BINARY, ...argv], { encoding: 'utf8' });
}

/** stdout of a command that must succeed, parsed. */
function json(...argv: string[]): Record<string, unknown> {
  const { status, stdout, stderr } = entrofleet(...argv);
  expect({ status, stderr }).toMatchObject({ status: 0 });
  return JSON.parse(stdout);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-cli-'));
  model = await writeTinyCheckpoint(at('model'));
  artifact = at('model.efa');
  idsFile = at('ids.json');
  await writeFile(idsFile, JSON.stringify(IDS));
  json('compress', model, '-o', artifact, '--recipe', 'u8', '--json');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('compress', () => {
  it('prints a summary and leaves only the artifact', async () => {
    const path = at('rd.efa');
    const { status, stdout } = entrofleet('compress', model, '-o', path, '--recipe', 'rd-4');
    expect(status).toBe(0);
    for (const word of ['id', 'bits per weight', 'entropy', 'SQNR']) expect(stdout).toContain(word);
    expect((await readdir(folder)).filter((name) => name.startsWith('rd.'))).toEqual(['rd.efa']);
  });

  it('gives the same id for any number of threads and replaces only when forced', () => {
    const path = at('twice.efa');
    const argv = ['compress', model, '-o', path, '--recipe', 'u4-paper', '--json', '--threads'];
    const first = json(...argv, '1');
    const refused = entrofleet(...argv, '2');
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/^entrofleet: .*twice\.efa exists; .* --force\n$/);
    expect(json(...argv, '2', '--force').ref).toEqual(first.ref);
  });

  it('keeps the perplexity of source and artifact in the file, where inspect finds it', async () => {
    const path = at('evaluated.efa');
    const tokens = at('rows.json');
    await writeFile(tokens, JSON.stringify([IDS, IDS.slice(1), IDS.slice(2)]));
    const argv = ['compress', model, '-o', path, '--recipe', 'rd-5', '--json'];
    const encoded = json(...argv, '--evaluate', tokens, '--evaluate-rows', '2');
    const own = json('perplexity', path, '--tokens', tokens, '--rows', '2', '--json');
    const source = json('perplexity', model, '--tokens', tokens, '--rows', '2', '--json');
    const evaluation = {
      perplexity: own.perplexity,
      sourcePerplexity: source.perplexity,
      origin: 'rows.json',
      rows: 2,
      tokens: 11,
      tokensSha256: own.tokensSha256,
    };
    expect(encoded.evaluation).toMatchObject(evaluation);
    expect(json('inspect', path, '--json').evaluation).toMatchObject(evaluation);
    expect(entrofleet('inspect', path).stdout).toMatch(/perplexity \d+\.\d{4}, source \d+/);
    expect(entrofleet('verify', path).status).toBe(0);
  });

  it('gives the same weights in every layout', () => {
    const logits = ['lanes', 'streams', 'paper'].map((layout) => {
      const path = at(`${layout}.efa`);
      json('compress', model, '-o', path, '--recipe', 'u8', '--layout', layout, '--json');
      return json('logits', path, '--ids', idsFile);
    });
    expect(logits[1]).toEqual(logits[0]);
    expect(logits[2]).toEqual(logits[0]);
  });

  it('calibrates on rows of tokens, tells so, and leaves nothing but the artifact', async () => {
    const tokens = at('rows.json');
    await writeFile(tokens, JSON.stringify([IDS, IDS.toReversed(), [1, 2, 3, 4, 5]]));
    const argv = ['compress', model, '-o', at('calibrated.efa'), '--json', '--recipe'];
    const first = json(...argv, 'rd-3.5', '--calibrate', tokens);
    const skipping = ['--calibrate', tokens, '--calibrate-skip', '1', '--threads', '1', '--force'];
    const second = json(...argv, 'rd-3.5', ...skipping);
    expect(second.ref).not.toEqual(first.ref);
    expect(json(...argv, 'rd-3.5', ...skipping).ref).toEqual(second.ref);
    const { stdout } = entrofleet('inspect', at('calibrated.efa'));
    expect(stdout).toMatch(/rd-3\.5, calibrated on tokens [0-9a-f]{12}/);
    expect((await readdir(folder)).filter((name) => name.includes('calibration'))).toEqual([]);
    const none = entrofleet(
      ...argv,
      'rd-4',
      '--calibrate',
      tokens,
      '--calibrate-skip',
      '3',
      '--force',
    );
    expect(none.stderr).toMatch(/has only 3 rows/);
    const paper = entrofleet(...argv, 'u8', '--calibrate', tokens, '--force');
    expect(paper.stderr).toMatch(/u8 is not calibrated/);
  });

  it('names the folder that is missing and writes nothing', () => {
    const gone = at('gone');
    const result = entrofleet('compress', gone, '-o', at('none.efa'), '--recipe', 'u8');
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/^entrofleet: .*gone.*\n$/);
    expect(existsSync(at('none.efa'))).toBe(false);
  });

  it('leaves nothing behind when interrupted and exits with 130', async () => {
    const large = { hiddenSize: 1024, intermediateSize: 2816, heads: 16, keyValueHeads: 8 };
    const source = await writeTinyCheckpoint(at('large'), { ...large, layers: 2 });
    const argv = [BINARY, 'compress', source, '-o', at('stop.efa'), '--recipe', 'rd-4'];
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'pipe'] });
    const status = await new Promise((done) => {
      child.on('exit', done);
      // The first progress line says that the work has begun and is far from its end.
      child.stderr.once('data', () => child.kill('SIGINT'));
    });
    expect(status).toBe(130);
    expect((await readdir(folder)).filter((name) => name.startsWith('stop.'))).toEqual([]);
  });
});

describe('inspect and verify', () => {
  it('show the header, and that all is well', () => {
    const facts = json('inspect', artifact, '--json');
    const id = facts.id;
    expect(facts).toMatchObject({ recipe: 'u8', config: { model_type: 'llama' } });
    const text = entrofleet('inspect', artifact, '--tensors').stdout;
    expect(text).toContain(String(id));
    expect(text).toMatch(/layer 1 +\d\.\d{3} {2}#+/);
    expect(text).toMatch(/model\.norm\.weight +raw +64/);
    expect(text).toMatch(
      /lm_head\.weight +huffman +\d+ x 64 +\d+ +\d\.\d{3} +\d\.\d{3} +\d+\.\d\d %/,
    );
    expect(text).toMatch(/entropy +\d\.\d{4} bits per weight; the file is \d+\.\d\d % over it/);
    expect(text).toContain('not evaluated');
    expect(json('verify', artifact, '--json')).toMatchObject({ ok: true, id, problems: [] });
  });

  it('name the tensor whose bytes are damaged', async () => {
    const bytes = await readFile(artifact);
    const last = bytes.length - 1;
    bytes[last] = (bytes[last] ?? 0) ^ 1;
    await writeFile(at('damaged.efa'), bytes);
    const { status, stderr, stdout } = entrofleet('verify', at('damaged.efa'));
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^entrofleet: .*damaged\.efa.*\n$/);
    const facts = JSON.parse(entrofleet('verify', at('damaged.efa'), '--json').stdout);
    expect(facts).toMatchObject({
      ok: false,
      problems: [{ item: 'model.norm.weight', reason: 'HashMismatch' }],
    });
  });

  it.each(['inspect', 'verify'])('%s refuses a truncated file in one line', async (command) => {
    await writeFile(at('short.efa'), await readFile(artifact));
    await truncate(at('short.efa'), 100);
    const { status, stderr } = entrofleet(command, at('short.efa'));
    expect(status).toBe(1);
    expect(stderr).toMatch(/^entrofleet: [^\n]+\n$/);
  });
});

describe('decompress', () => {
  it('gives a folder that opens and has the logits of the artifact', async () => {
    const path = at('back');
    expect(entrofleet('decompress', artifact, '-o', path).status).toBe(0);
    const checkpoint = await openCheckpoint(path);
    expect(checkpoint.files.map(({ name }) => name)).toContain('tokenizer.json');
    await checkpoint.close();
    const folderLogits = json('logits', path, '--ids', idsFile);
    const artifactLogits = json('logits', artifact, '--ids', idsFile);
    expect(folderLogits.argmax).toEqual(artifactLogits.argmax);
    const expected = numbers(artifactLogits.logits_last);
    const got = numbers(folderLogits.logits_last);
    const scale = Math.max(...expected.map(Math.abs));
    // The same weights, but the artifact's products take activations of 15 bits.
    const worst = Math.max(...expected.map((value, i) => Math.abs(value - (got[i] ?? 0))));
    expect(worst / scale).toBeLessThan(1e-3);
  });

  it.each(['bf16', 'f16'])('writes %s', async (type) => {
    expect(entrofleet('decompress', artifact, '-o', at(type), '--type', type).status).toBe(0);
    const checkpoint = await openCheckpoint(at(type));
    expect(new Set(checkpoint.tensors.map((tensor) => tensor.type))).toEqual(new Set([type]));
    await checkpoint.close();
  });

  it('keeps a folder that is not empty', async () => {
    await rm(at('kept'), { recursive: true, force: true });
    await writeTinyCheckpoint(at('kept'), { seed: 5 });
    const before = await readFile(join(at('kept'), 'model.safetensors'));
    const { status, stderr } = entrofleet('decompress', artifact, '-o', at('kept'));
    expect(status).toBe(1);
    expect(stderr).toMatch(/^entrofleet: .*kept is not empty; .*--force\n$/);
    expect(await readFile(join(at('kept'), 'model.safetensors'))).toEqual(before);
    expect(entrofleet('decompress', artifact, '-o', at('kept'), '--force').status).toBe(0);
    expect(await readFile(join(at('kept'), 'model.safetensors'))).not.toEqual(before);
    expect((await readdir(folder)).filter((name) => name.includes('partial'))).toEqual([]);
  });
});

describe('run, perplexity, logits, bench', () => {
  it('the same seed gives the same text', () => {
    const argv = ['run', artifact, '-p', 'hello', '--max-tokens', '8', '--temperature', '1'];
    const first = entrofleet(...argv, '--seed', '3');
    expect(first).toMatchObject({ status: 0, stderr: '' });
    expect(first.stdout.startsWith('hello')).toBe(true);
    expect(first.stdout.length).toBeGreaterThan('hello\n'.length);
    expect(entrofleet(...argv, '--seed', '3').stdout).toBe(first.stdout);
  });

  it('names the share of the process when --memory is less', () => {
    const { status, stderr } = entrofleet('run', artifact, '-p', 'once', '--memory', '50MB');
    expect(status).toBe(1);
    expect(stderr).toMatch(/--memory 48 MiB holds no model: the process's own share is \d+ MiB/);
  });

  it('a folder without tokenizer.json is measured, but not run', async () => {
    const bare = await writeTinyCheckpoint(at('bare'));
    await rm(join(bare, 'tokenizer.json'));
    await writeFile(at('rows.json'), JSON.stringify([IDS, IDS]));
    const measured = json('perplexity', bare, '--tokens', at('rows.json'), '--rows', '1', '--json');
    expect(measured).toMatchObject({ rows: 1, tokens: IDS.length - 1 });
    expect(numbers(json('logits', bare, '--ids', idsFile).argmax)).toHaveLength(IDS.length);
    const figures = json('bench', bare, '--threads', '1', '--json');
    expect(figures).toMatchObject({ threads: 1, prefill: [{ tokens: 128 }] });
    const { status, stderr } = entrofleet('run', bare, '-p', 'x');
    expect(status).toBe(1);
    expect(stderr).toMatch(/^entrofleet: .*no tokenizer\.json.*\n$/);
  });

  it('bad token files are explained', async () => {
    for (const [name, text] of Object.entries({ words: '["a"]', large: '[99999]', broken: '[' })) {
      await writeFile(at(`${name}.json`), text);
      const { status, stderr } = entrofleet('logits', model, '--ids', at(`${name}.json`));
      expect(status).toBe(1);
      expect(stderr).toMatch(new RegExp(`^entrofleet: .*${name}\\.json[^\\n]+\\n$`));
    }
  });

  it('answers a chat as its template has it, from a folder and from an artifact', async () => {
    const chatty = await writeTinyCheckpoint(at('chatty'));
    const template = "{% for m in messages %}{{ m.role + ' says ' + m.content }}{% endfor %}";
    await writeFile(join(chatty, 'chat_template.jinja'), `${template}{{ ' i say' }}`);
    const packed = at('chatty.efa');
    json('compress', chatty, '-o', packed, '--recipe', 'u8', '--json');
    for (const path of [chatty, packed]) {
      const more = ['--max-tokens', '6', '--repetition-penalty', '1.2', '--logit-bias', '2=-100'];
      const plain = entrofleet('run', path, '-p', 'user says hello i say', ...more);
      const chat = entrofleet('run', path, '--chat', '-p', 'hello', ...more);
      expect(chat).toMatchObject({ status: 0, stderr: '' });
      // A chat's text has begin-of-sequence only where its template writes it.
      expect(chat.stdout.length).toBeGreaterThan(1);
      expect(plain.stdout.startsWith('user says hello i say')).toBe(true);
      const told = entrofleet('run', path, '--chat', '--system', 'b', '-p', 'c', ...more);
      expect(told.stdout).not.toBe(chat.stdout);
    }
    const refused = entrofleet('run', artifact, '--chat', '-p', 'hello');
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/no chat template; leave out --chat/);
  });

  it('says what it has compared with an ids file that expects something', async () => {
    const own = json('logits', model, '--ids', idsFile);
    expect(own.rotary).toBe('exact');
    const path = at('expected.json');
    const expected = { argmax: numbers(own.argmax), logits_last: own.logits_last };
    await writeFile(path, JSON.stringify({ input_ids: IDS, ...expected }));
    const same = entrofleet('logits', model, '--ids', path);
    expect(same.stderr).toMatch(/argmax equal at 7 of 7 .*, with exact rotary frequencies\n$/);
    const argmax = [...expected.argmax.slice(1), -1];
    await writeFile(path, JSON.stringify({ input_ids: IDS, argmax }));
    const other = entrofleet('logits', model, '--ids', path);
    expect(other.stderr).toMatch(/of 7 positions, with exact .*; rounded to bf16 argmax equal at/);
    expect(JSON.parse(other.stdout)).toEqual(own);
  });

  const hasShared = existsSync(SHARED);
  if (!hasShared) console.warn(`SKIPPED: golden logits: no ${SHARED}`);
  it.skipIf(!hasShared).each(['tiny-llama-gqa', 'tiny-mistral-swa', 'tiny-phi3'])(
    'a golden.json, made by a model cast to bfloat16, is an ids file: %s',
    async (name) => {
      const path = join(SHARED, name, 'golden.json');
      const golden = JSON.parse(await readFile(path, 'utf8'));
      const { stdout, stderr } = entrofleet('logits', join(SHARED, name), '--ids', path);
      const { argmax, rotary } = JSON.parse(stdout);
      expect(argmax).toEqual(golden.argmax);
      expect(rotary).toBe('bf16');
      expect(stderr).toMatch(
        /^entrofleet: golden: argmax equal at 96 of 96 positions, .*, with rotary frequencies rounded/,
      );
    },
  );
});

describe('delta', () => {
  it('gives the target back from base and delta, and nothing from another base', async () => {
    const tuned = at('tuned');
    await writeFineTuned(model, tuned, { kind: 'relative', noise: 0.01 });
    const [target, delta, rebuilt] = [at('tuned.efa'), at('tuned.efd'), at('rebuilt.efa')];
    const { ref } = json('compress', tuned, '-o', target, '--recipe', 'u8', '--json');
    expect(entrofleet('delta', 'make', artifact, target, '-o', delta).stdout).toMatch(
      /of the target +\d\d\.\d\d %/,
    );
    const applied = json('delta', 'apply', artifact, delta, '-o', rebuilt, '--json');
    expect(applied).toMatchObject({ id: (ref as { id: string }).id });
    expect(await readFile(rebuilt)).toEqual(await readFile(target));
    const refused = entrofleet('delta', 'apply', target, delta, '-o', at('wrong.efa'));
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/^entrofleet: .* is against artifact [0-9a-f]{64}, .*\n$/);
    expect(existsSync(at('wrong.efa'))).toBe(false);
  });
});

describe('usage', () => {
  it.each([
    ['an unknown command', ['explode']],
    ['an unknown recipe', ['compress', 'a', '-o', 'b', '--recipe', 'zip']],
    ['a missing option', ['compress', 'a', '--recipe', 'u8']],
    ['no thread', ['bench', 'a', '--threads', '0']],
  ])('%s exits with 2 and one line', (_, argv) => {
    const { status, stderr } = entrofleet(...argv);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^entrofleet: [^\n]+\n$/);
  });

  it('help and version exit with 0; a stack trace comes only with --debug', () => {
    expect(entrofleet('--help')).toMatchObject({ status: 0, stderr: '' });
    expect(entrofleet('--version').stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(entrofleet('bench', 'gone').stderr).toMatch(/^entrofleet: gone does not exist.*\n$/);
    expect(entrofleet('--debug', 'bench', 'gone').stderr).toContain('\n    at ');
  });
});

function numbers(value: unknown): number[] {
  if (!Array.isArray(value)) throw new Error('not a list');
  return value.map(Number);
}
