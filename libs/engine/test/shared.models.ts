import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ResidentTensor } from '@entrofleet/native';
import type { WeightSource } from '../src/weight.source.ts';

const MODELS = fileURLToPath(new URL('../../../../shared/models/', import.meta.url));

/** Whether a reference model is there; says what is skipped when it is not. */
export function hasSharedModel(name: string): boolean {
  const present = existsSync(`${MODELS}${name}/model.safetensors`);
  if (!present) console.warn(`SKIPPED: golden tests of ${name}; ${MODELS}${name} is absent`);
  return present;
}

export function readShared(model: string, file: string): unknown {
  return JSON.parse(readFileSync(`${MODELS}${model}/${file}`, 'utf8'));
}

/** A reference model in float32. Test files are trusted, so nothing is checked. */
export function openShared(name: string): WeightSource {
  const bytes = readFileSync(`${MODELS}${name}/model.safetensors`);
  const headerSize = Number(bytes.readBigUInt64LE(0));
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: number[] }> =
    JSON.parse(bytes.toString('utf8', 8, 8 + headerSize));
  return {
    config: readShared(name, 'config.json'),
    tensorNames: Object.keys(header).filter((key) => key !== '__metadata__'),
    readResident: async (tensor): Promise<ResidentTensor> => {
      const entry = header[tensor];
      const [begin = 0, end = 0] = entry?.data_offsets ?? [];
      const base = 8 + headerSize;
      const raw = bytes.subarray(base + begin, base + end);
      const data = entry?.dtype === 'F16' ? fromF16(raw) : fromBf16(raw);
      const [rows = 1, columns] = entry?.shape ?? [];
      return columns === undefined
        ? { format: 'f32', rows: 1, columns: rows, data }
        : { format: 'f32', rows, columns, data };
    },
  };
}

function fromF16(raw: Buffer): Float32Array {
  return Float32Array.from({ length: raw.length / 2 }, (_, i) => {
    const bits = raw.readUInt16LE(2 * i);
    const sign = bits >> 15 === 0 ? 1 : -1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}

function fromBf16(raw: Buffer): Float32Array {
  const words = new Uint32Array(raw.length / 2);
  for (let i = 0; i < words.length; i++) words[i] = raw.readUInt16LE(2 * i) << 16;
  return new Float32Array(words.buffer);
}
