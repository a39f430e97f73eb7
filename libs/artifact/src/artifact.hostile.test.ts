import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ArtifactError } from './artifact.error.ts';
import { openArtifact } from './artifact.reader.ts';
import { canonicalJson } from './canonical.json.ts';
import { sha256Now } from './chunk.hash.ts';
import { chunkTable } from './chunk.table.ts';
import { parseHeader } from './header.parser.ts';
import { headerRegion, PREAMBLE_BYTES } from './preamble.ts';

const FOLDER = resolve(import.meta.dirname, '../../../test/fixtures/artifacts');
const NAMES = ['u8-streams.efa', 'u4-paper.efa', 'u4-lanes.efa', 'rd-3-lanes.efa'] as const;
const RUNS = 400;

let folder: string;
let golden: Buffer[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-hostile-'));
  golden = await Promise.all(NAMES.map((name) => readFile(join(FOLDER, name))));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

function goldenFile(index: number): Buffer {
  const file = golden[index];
  if (file === undefined) throw new Error('no such golden file');
  return file;
}

/** The JSON header of a golden file, to be spoilt. */
function headerOf(index: number): { json: unknown; payload: Buffer } {
  const file = goldenFile(index);
  const { headerSizeBytes } = parseHeaderOf(file).ref;
  const text = file.toString('utf8', PREAMBLE_BYTES, PREAMBLE_BYTES + file.readUInt32LE(12));
  return { json: JSON.parse(text), payload: file.subarray(headerSizeBytes) };
}

function parseHeaderOf(file: Buffer) {
  const region = 64 * Math.ceil((PREAMBLE_BYTES + file.readUInt32LE(12)) / 64);
  return parseHeader(file.subarray(0, region));
}

/**
 * Reads everything there is.
 * @returns the error, which must be typed, or undefined.
 */
async function readAll(
  bytes: Uint8Array,
  options: { trusted: boolean },
): Promise<ArtifactError | undefined> {
  const path = join(folder, 'any.artifact');
  await writeFile(path, bytes);
  try {
    const artifact = await openArtifact(path);
    try {
      for (const name of artifact.fileNames) await artifact.readFile(name);
      for (const name of artifact.tensorNames) await artifact.readResident(name, options);
    } finally {
      await artifact.close();
    }
    return undefined;
  } catch (error) {
    if (error instanceof ArtifactError) return error;
    throw error;
  }
}

const anyIndex = fc.nat(NAMES.length - 1);

describe('a damaged file', () => {
  it('is found out when any byte differs', async () => {
    await fc.assert(
      fc.asyncProperty(anyIndex, fc.nat(), fc.integer({ min: 1, max: 255 }), async (i, at, by) => {
        const bytes = Buffer.from(goldenFile(i));
        const position = at % bytes.length;
        bytes[position] = (bytes[position] ?? 0) ^ by;
        const id = parseHeaderOf(goldenFile(i)).ref.id;
        const error = await readAll(bytes, { trusted: false });
        // A header that is still well-formed is another artifact, with another id.
        if (error === undefined) expect(parseHeaderOf(bytes).ref.id).not.toBe(id);
      }),
      { numRuns: RUNS },
    );
  });

  it('is found out when it ends early or late', async () => {
    await fc.assert(
      fc.asyncProperty(anyIndex, fc.nat(), async (i, length) => {
        const whole = goldenFile(i);
        const cut = whole.subarray(0, length % whole.length);
        expect((await readAll(cut, { trusted: false }))?.reason).toMatch(/^(Truncated|BadMagic)$/);
        const long = Buffer.concat([whole, Buffer.alloc(1 + (length % 100))]);
        expect((await readAll(long, { trusted: false }))?.reason).toBe('TrailingBytes');
      }),
      { numRuns: RUNS / 4 },
    );
  });

  it('gives typed errors or wrong weights, nothing worse, when its hashes are not checked', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyIndex,
        fc.nat(),
        fc.uint8Array({ maxLength: 40 }),
        async (i, at, noise) => {
          const bytes = Buffer.from(goldenFile(i));
          const { headerSizeBytes } = parseHeaderOf(bytes).ref;
          const position = headerSizeBytes + (at % (bytes.length - headerSizeBytes));
          bytes.set(noise.subarray(0, bytes.length - position), position);
          await readAll(bytes, { trusted: true });
        },
      ),
      { numRuns: RUNS },
    );
  });
});

/** All places in a JSON value. */
function* places(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  yield path;
  if (typeof value !== 'object' || value === null) return;
  for (const [key, member] of Object.entries(value)) yield* places(member, [...path, key]);
}

function replaced(value: unknown, path: readonly string[], by: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return by;
  if (Array.isArray(value)) {
    return value.map((item, i) => (String(i) === key ? replaced(item, rest, by) : item));
  }
  const entries = Object.entries(Object(value));
  return Object.fromEntries(entries.map(([k, v]) => [k, k === key ? replaced(v, rest, by) : v]));
}

function withHeader(json: unknown, payload: Uint8Array): Buffer {
  return Buffer.concat([headerRegion(Buffer.from(canonicalJson(json))), payload]);
}

describe('a hostile header in correct form', () => {
  const nasty = fc.oneof(
    fc.constantFrom<unknown[]>(
      ...[null, -1, 0, 1, 2, 255, 256, 65536, 2 ** 31, 2 ** 32, 2 ** 53, 1e300, 0.5, '', 'raw'],
      ...[
        '00000000',
        '7f800000',
        'f',
        'huffman',
        'lanes',
        'identity',
        'deflate',
        'bf16',
        true,
        [],
        {},
      ],
    ),
    fc.jsonValue({ maxDepth: 2 }),
  );

  it('gives a typed error or an artifact that can be read within its bounds', async () => {
    await fc.assert(
      fc.asyncProperty(anyIndex, fc.nat(), nasty, async (i, at, value) => {
        const { json, payload } = headerOf(i);
        const all = [...places(json)];
        const path = all[at % all.length] ?? [];
        await readAll(withHeader(replaced(json, path, value), payload), { trusted: true });
      }),
      { numRuns: 2 * RUNS },
    );
  });

  const spoilt: readonly [string, readonly string[], unknown, RegExp][] = [
    ['an unknown format', ['format'], 'other', /\/format must be one of entrofleet-artifact/],
    [
      'an unknown field',
      ['recipe'],
      { kind: 'affine', bits: 8, extra: 1 },
      /unknown field "extra"/,
    ],
    ['a lacking field', ['recipe'], { kind: 'affine' }, /lacks the field "bits"/],
    [
      'a calibration on no tokens',
      ['recipe'],
      { kind: 'rate', targetBitsPerWeight: 3, calibration: { tokensSha256: 'F'.repeat(64) } },
      /hexadecimal/,
    ],
    [
      'a calibration of the paper',
      ['recipe'],
      { kind: 'affine', bits: 8, calibration: { tokensSha256: 'f'.repeat(64) } },
      /unknown field/,
    ],
    ['a quality beyond measure', ['recipe'], { kind: 'quality', targetSqnrDb: 101 }, /at most 100/],
    ['small chunks', ['chunkSizeBytes'], 64, /integer from 4096 to 4194304/],
    ['no tensors', ['tensors'], [], /\/tensors must not be empty/],
    ['a huge shape', ['tensors', '0', 'shape'], [2 ** 30, 2 ** 30], /\/tensors\/0\/shape/],
    ['more rows than coded', ['tensors', '0', 'shape'], [200_000, 25], /segmentSizes must have/],
    ['fewer symbols in segments', ['tensors', '0', 'segmentSymbols'], 1, /must have 500 entries/],
    ['a huge segment', ['tensors', '0', 'segmentSizes'], [2 ** 32], /integers from 1 to 4096/],
    ['a segment too small', ['tensors', '0', 'segmentSizes'], [3], /too small for 500 symbols/],
    ['a code that is none', ['tensors', '0', 'code'], '0012', /prefix code/],
    ['no code at all', ['tensors', '0', 'code'], null, /code must not be null/],
    ['a code past the symbols', ['tensors', '0', 'code'], 'ff11', /code must be a first symbol/],
    ['a shared code that is none', ['sharedCode'], '0012', /sharedCode must be a prefix code/],
    ['an entropy over its bits', ['tensors', '0', 'entropyMicrobits'], 8_000_001, /8000000/],
    ['a step of infinity', ['tensors', '0', 'step'], '7f800000', /step must be finite/],
    ['a zero point past its bits', ['tensors', '0', 'zeroPoint'], 256, /from 0 to 255/],
    ['an unknown codec', ['tensors', '0', 'codec'], 'zip', /tensors\/0/],
    ['a name twice', ['tensors', '1', 'name'], 'model.embed_tokens.weight', /must come after/],
    ['a chunk past the tensor', ['tensors', '1', 'chunks', '0', 'sizeBytes'], 104, /100 bytes/],
    ['a hash of other length', ['tensors', '1', 'chunks', '0', 'sha256'], 'ab', /sha256/],
    ['a name that is a path', ['files', '0', 'name'], '../x', /files\/0\/name/],
    ['a bomb', ['files', '0', 'sizeBytes'], 2 ** 26, /no size that deflate could have had/],
  ];

  it.each(spoilt)('%s is named', (_, path, value, message) => {
    const { json, payload } = headerOf(0);
    const bytes = withHeader(replaced(json, path, value), payload);
    expect(() => parseHeaderOf(bytes)).toThrow(message);
    expect(() => parseHeaderOf(bytes)).toThrow(ArtifactError);
  });

  it('has one spelling only', () => {
    const { json } = headerOf(0);
    const text = JSON.stringify(json);
    for (const other of [
      ` ${text}`,
      `${text}\n`,
      text.replace('"bits":8', '"bits":8.0'),
      text.replace('"bits":8', '"bits":8,"bits":8'),
      text.replace('"format"', '"\\u0066ormat"'),
    ]) {
      expect(() => parseHeader(headerRegion(Buffer.from(other)))).toThrow(/canonical/);
    }
  });

  it('is refused when it is too large or too deep for its parser', () => {
    const deep = `{"config":${'['.repeat(1e6)}`;
    expect(() => parseHeader(headerRegion(Buffer.from(deep)))).toThrow(/deeper than 32/);
    const wide = `{"config":[${'[],'.repeat(5e6)}0]}`;
    expect(() => parseHeader(headerRegion(Buffer.from(wide)))).toThrow(/more than 4000000 values/);
  });
});

describe('the preamble', () => {
  it('explains another version, a foreign file, and padding that is not zero', () => {
    const file = Buffer.from(goldenFile(0));
    const { headerSizeBytes } = parseHeaderOf(file).ref;
    const region = file.subarray(0, headerSizeBytes);
    const spoil = (at: number, value: number): Buffer => {
      const copy = Buffer.from(region);
      copy[at] = value;
      return copy;
    };
    expect(() => parseHeader(spoil(8, 3))).toThrow(/version 3, .*reads version 2; update/);
    expect(() => parseHeader(spoil(8, 1))).toThrow(/version 1, .*reads version 2; encode/);
    expect(() => parseHeader(spoil(0, 0x50))).toThrow(/no entrofleet artifact/);
    expect(() => parseHeader(region.subarray(0, 12))).toThrow(/ends after 12 bytes/);
    const padded = headerRegion(Buffer.from('{}'));
    padded[40] = 1;
    expect(() => parseHeader(padded)).toThrow(/padding/);
    expect(() => parseHeader(spoil(15, 0xff))).toThrow(/claims \d+ bytes, over/);
  });
});

describe('the chunk table', () => {
  it('tiles the file, header slices first, each with its hash', () => {
    for (const file of golden) {
      const header = parseHeaderOf(file);
      const table = chunkTable(header);
      expect(table).toHaveLength(header.ref.chunkCount);
      let offset = 0;
      for (const [index, chunk] of table.entries()) {
        expect(chunk.index).toBe(index);
        expect(chunk.offset).toBe(offset);
        offset += chunk.sizeBytes;
        expect(sha256Now(file.subarray(chunk.offset, offset))).toBe(chunk.sha256);
      }
      expect(offset).toBe(file.length);
      expect(header.ref.sizeBytes).toBe(file.length);
    }
  });
});
