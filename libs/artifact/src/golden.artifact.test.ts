import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { referenceDecodeHuffman, referenceDecodeLanes } from '@entrofleet/codec';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { GOLDEN_ENCODINGS, writeGoldenSource } from '../../../test/fixtures/golden.source.ts';
import { encodeArtifact } from './artifact.encoder.ts';
import { openArtifact } from './artifact.reader.ts';
import { openCheckpoint } from './checkpoint.reader.ts';

const FOLDER = resolve(import.meta.dirname, '../../../test/fixtures/artifacts');

/** Ids of the checked-in files. A change here breaks every artifact that is out in the field. */
const IDS: Readonly<Record<string, string>> = {
  'u8-streams.efa': '374ef99b5eefa3f7d5cdb5cc19015bf4b20e59610df9a368bc4b839db93e66bf',
  'u4-paper.efa': '352585e498027334b1606c7e7c95e8959150c3d5ae852e9ced79ff1975e0a070',
  'u4-lanes.efa': 'c5abf26bd0a299b6c9be6318e51b3ace0697954e1f448d0be35b1808fd21ca2d',
  'rd-3-lanes.efa': '2714d3fe90c07e81837c1320678db4812ddf60a004a3724bd6ee41932aedfae5',
};

const chunks = z.array(z.object({ sha256: z.string(), sizeBytes: z.number() }));
const headerSchema = z.object({
  sharedCode: z.string().nullable(),
  files: z.array(z.object({ name: z.string(), codec: z.string(), chunks })),
  tensors: z.array(
    z.object({
      name: z.string(),
      codec: z.string(),
      shape: z.array(z.number()),
      bits: z.number().default(0),
      zeroPoint: z.number().default(0),
      step: z.string().nullable().default(null),
      code: z.string().nullable().default(null),
      segmentSymbols: z.number().default(0),
      segmentSizes: z.array(z.number()).default([]),
      chunks,
    }),
  ),
});
type Tensor = z.infer<typeof headerSchema>['tensors'][number];

/** A reader written from FORMAT.md, SEGMENT.md and LANES.md alone: no kernel, no code of the real reader. */
function readPlainly(file: Buffer) {
  expect(file.toString('latin1', 0, 8)).toBe('\x89EFART\r\n');
  expect(file.readUInt32LE(8)).toBe(2);
  const jsonBytes = file.readUInt32LE(12);
  const regionBytes = 64 * Math.ceil((16 + jsonBytes) / 64);
  const id = createHash('sha256').update(file.subarray(0, regionBytes)).digest('hex');
  const header = headerSchema.parse(JSON.parse(file.toString('utf8', 16, 16 + jsonBytes)));
  let offset = regionBytes;
  const payload = (item: { chunks: z.infer<typeof chunks> }): Buffer => {
    const begin = offset;
    for (const { sha256, sizeBytes } of item.chunks) {
      const chunk = file.subarray(offset, offset + sizeBytes);
      expect(createHash('sha256').update(chunk).digest('hex')).toBe(sha256);
      offset += sizeBytes;
    }
    return file.subarray(begin, offset);
  };
  const files = new Map(
    header.files.map((item) => {
      const bytes = payload(item);
      return [item.name, item.codec === 'deflate' ? inflateRawSync(bytes) : bytes];
    }),
  );
  const tensors = new Map(
    header.tensors.map((item) => [item.name, weights(item, payload(item), header.sharedCode)]),
  );
  expect(offset).toBe(file.length);
  return { id, files, tensors };
}

function weights(tensor: Tensor, payload: Buffer, sharedCode: string | null): number[] {
  const count = tensor.shape.reduce((product, side) => product * side, 1);
  if (tensor.codec === 'raw') {
    return Array.from({ length: count }, (_, i) => payload.readFloatLE(i * 4));
  }
  const [rows = 0, columns = 0] = tensor.shape;
  const stepBytes = tensor.step === null ? rows * 2 : 0;
  const coded = {
    payload: payload.subarray(stepBytes),
    segmentSizes: Uint32Array.from(tensor.segmentSizes),
    segmentSymbols: tensor.segmentSymbols,
    symbolCount: tensor.bits === 8 ? count : Math.ceil(count / 2),
  };
  const text = tensor.code ?? sharedCode ?? '';
  const symbols =
    tensor.codec === 'lanes'
      ? referenceDecodeLanes({ ...coded, code: Buffer.from(text, 'hex') })
      : referenceDecodeHuffman({ ...coded, codeLengths: lengthsOf(text) });
  return Array.from({ length: count }, (_, i) => {
    const row = Math.floor(i / columns);
    const rowStep = Buffer.concat([Buffer.alloc(2), payload.subarray(row * 2, row * 2 + 2)]);
    const step =
      tensor.step === null ? rowStep.readFloatLE() : Buffer.from(tensor.step, 'hex').readFloatBE();
    const byte = symbols[tensor.bits === 8 ? i : i >> 1] ?? 0;
    const level = tensor.bits === 8 ? byte : i % 2 === 0 ? byte & 15 : byte >> 4;
    return Math.fround(step * (level - tensor.zeroPoint));
  });
}

function lengthsOf(text: string): Uint8Array {
  const lengths = new Uint8Array(256);
  const digits = text.slice(2).replace(/(.)([g-z])/g, (_, digit: string, letter: string) => {
    return digit.repeat(Number.parseInt(letter, 36) - 14);
  });
  const values = Array.from(digits, (digit) => Number.parseInt(digit, 16));
  lengths.set(values, Number.parseInt(text.slice(0, 2), 16));
  return lengths;
}

describe.each(Object.entries(GOLDEN_ENCODINGS))('golden %s', (name, encoding) => {
  it('is read alike by a plain second reader', async () => {
    const path = join(FOLDER, name);
    const plain = readPlainly(await readFile(path));
    expect(plain.id).toBe(IDS[name]);
    const artifact = await openArtifact(path);
    expect(artifact.ref.id).toBe(IDS[name]);
    expect(artifact.fileNames).toEqual([...plain.files.keys()]);
    for (const [file, content] of plain.files) {
      expect(Buffer.from(await artifact.readFile(file))).toEqual(Buffer.from(content));
    }
    expect(artifact.tensorNames).toEqual([...plain.tensors.keys()]);
    for (const [tensor, values] of plain.tensors) {
      expect(Array.from(await artifact.readFloat(tensor))).toEqual(values);
    }
    await artifact.verify();
    await artifact.close();
  });

  it('is what the encoder still writes, with any number of threads', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'entrofleet-golden-'));
    await writeGoldenSource(folder);
    const checkpoint = await openCheckpoint(folder);
    for (const threads of [1, 3]) {
      const path = join(folder, `${threads}.artifact`);
      const options = { checkpoint, ...encoding, path, threads, chunkSizeBytes: 4096 };
      const { ref } = await encodeArtifact(options);
      expect(ref.id).toBe(IDS[name]);
      expect(await readFile(path)).toEqual(await readFile(join(FOLDER, name)));
    }
    await checkpoint.close();
    await rm(folder, { recursive: true });
  });
});
