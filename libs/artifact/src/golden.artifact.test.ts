import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { referenceDecodeHuffman } from '@entrofleet/codec';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { GOLDEN_RECIPES, writeGoldenSource } from '../../../test/fixtures/golden.source.ts';
import { encodeArtifact } from './artifact.encoder.ts';
import { openArtifact } from './artifact.reader.ts';
import { openCheckpoint } from './checkpoint.reader.ts';

const FOLDER = resolve(import.meta.dirname, '../../../test/fixtures/artifacts');

/** Ids of the checked-in files. A change here breaks every artifact that is out in the field. */
const IDS: Readonly<Record<string, string>> = {
  'u8.artifact': '2e79490029fee9e3d71e0a60ce9653a37da2d31b52f96184cc493d18f9ae429b',
  'u4-paper.artifact': '12861c93fe0ade655d7b76ab65e3a142d3b52981dabb28f25225aac421726650',
  'rd-3.artifact': 'de72bea87e736ae5124473cf3dab9642736ac8ced6aa7efea3888c1a42af92a6',
};

const chunks = z.array(z.object({ sha256: z.string(), sizeBytes: z.number() }));
const headerSchema = z.object({
  files: z.array(z.object({ name: z.string(), codec: z.string(), chunks })),
  tensors: z.array(
    z.object({
      name: z.string(),
      codec: z.string(),
      shape: z.array(z.number()),
      bits: z.number().default(0),
      zeroPoint: z.number().default(0),
      step: z.string().nullable().default(null),
      codeFirst: z.number().default(0),
      codeLengths: z.string().default(''),
      segmentSymbols: z.number().default(0),
      segmentSizes: z.array(z.number()).default([]),
      chunks,
    }),
  ),
});
type Tensor = z.infer<typeof headerSchema>['tensors'][number];

/** A reader written from FORMAT.md and SEGMENT.md alone: no kernel, no code of the real reader. */
function readPlainly(file: Buffer) {
  expect(file.toString('latin1', 0, 8)).toBe('\x89EFART\r\n');
  expect(file.readUInt32LE(8)).toBe(1);
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
  const tensors = new Map(header.tensors.map((item) => [item.name, weights(item, payload(item))]));
  expect(offset).toBe(file.length);
  return { id, files, tensors };
}

function weights(tensor: Tensor, payload: Buffer): number[] {
  const count = tensor.shape.reduce((product, side) => product * side, 1);
  if (tensor.codec === 'raw') {
    return Array.from({ length: count }, (_, i) => payload.readFloatLE(i * 4));
  }
  const [rows = 0, columns = 0] = tensor.shape;
  const stepBytes = tensor.step === null ? rows * 2 : 0;
  const codeLengths = new Uint8Array(256);
  codeLengths.set(
    Array.from(tensor.codeLengths, (digit) => Number.parseInt(digit, 16)),
    tensor.codeFirst,
  );
  const symbols = referenceDecodeHuffman({
    payload: payload.subarray(stepBytes),
    segmentSizes: Uint32Array.from(tensor.segmentSizes),
    segmentSymbols: tensor.segmentSymbols,
    symbolCount: tensor.bits === 8 ? count : Math.ceil(count / 2),
    codeLengths,
  });
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

describe.each(Object.entries(GOLDEN_RECIPES))('golden %s', (name, recipe) => {
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
      const options = { checkpoint, recipe, path, threads, chunkSizeBytes: 4096 };
      const { ref } = await encodeArtifact(options);
      expect(ref.id).toBe(IDS[name]);
      expect(await readFile(path)).toEqual(await readFile(join(FOLDER, name)));
    }
    await checkpoint.close();
    await rm(folder, { recursive: true });
  });
});
