/**
 * Size and speed of the entropy codecs beside memcpy and zstd: `make bench-codec`.
 *
 *   node test/bench/codec.bench.ts [--isa avx2,portable] [--rounds 7] [--threads 1,2]
 *                                  [--cases "u8 at 5.6,u4 at 1.4"] [--model FOLDER] [--json]
 *
 * Speeds are from DRAM to DRAM: all symbols and all coded bytes together are many times the caches.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { arch } from 'node:process';
import { parseArgs } from 'node:util';
import { native } from '@entrofleet/native';
import { type PreparedCase, prepareGenerated, prepareModel } from './codec.cases.ts';
import { type CodecMeasurement, codecRows, memcpyRows } from './codec.measurement.ts';
import { type CaseResult, caseTable, LEGEND } from './codec.table.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const PROGRAM = resolve(ROOT, `libs/native/build/linux-${arch}/codec_bench`);
const GENERATED = [
  { bits: 8, entropyBits: 4.8 },
  { bits: 8, entropyBits: 5.6 },
  { bits: 8, entropyBits: 6.6 },
  { bits: 4, entropyBits: 1.4 },
  { bits: 4, entropyBits: 2.5 },
  { bits: 4, entropyBits: 3.5 },
] as const;
const MODEL_RECIPES = [
  { name: 'u8', recipe: { kind: 'affine', bits: 8 } },
  { name: 'rd-4.2', recipe: { kind: 'rate', targetBitsPerWeight: 4.2 } },
] as const;
/** 8 tensors of 32 Mi symbols; those of 4 bits are twice as many, for the same bytes. */
const SHAPE = { tensors: 8, rows: 8192, columns: 4096 } as const;
const LEAST_BYTES = SHAPE.tensors * SHAPE.rows * SHAPE.columns;

const { values: options } = parseArgs({
  options: {
    isa: { type: 'string', default: native.cpu().isa },
    rounds: { type: 'string', default: '7' },
    threads: { type: 'string', default: '1,2' },
    cases: { type: 'string' },
    model: { type: 'string', default: resolve(ROOT, '../shared/models/stories15M') },
    json: { type: 'boolean', default: false },
  },
});

function measure({ name, symbolsPath, overheadBits }: PreparedCase, isa: string): CaseResult {
  const words = ['--symbols', symbolsPath, '--isa', isa, '--rounds', options.rounds];
  const limits = ['--threads', options.threads, '--least-bytes', String(LEAST_BYTES)];
  const printed = execFileSync(PROGRAM, ['measure', ...words, ...limits], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const measurement: CodecMeasurement = JSON.parse(printed);
  if (measurement.codedBytes['zstd -1'] === undefined) {
    process.stderr.write('bench-codec: SKIPPED zstd: built without libzstd (libzstd-dev)\n');
  }
  const { bits, entropyBits, bytes } = measurement;
  const rows = codecRows(measurement, overheadBits);
  const memcpy = memcpyRows(measurement);
  return { name, isa, bits, entropyBits, decodedBytes: bytes, memcpy, rows };
}

function isWanted(name: string): boolean {
  return options.cases === undefined || options.cases.split(',').includes(name);
}

async function* preparedCases(folder: string): AsyncGenerator<PreparedCase> {
  for (const spec of GENERATED) {
    if (!isWanted(`u${spec.bits} at ${spec.entropyBits}`)) continue;
    const columns = SHAPE.columns * (8 / spec.bits);
    yield await prepareGenerated({ folder, program: PROGRAM }, { ...SHAPE, ...spec, columns });
  }
  if (!existsSync(options.model)) {
    process.stderr.write(`bench-codec: SKIPPED the real model: no folder ${options.model}\n`);
    return;
  }
  for (const { name, recipe } of MODEL_RECIPES) {
    if (!isWanted(`stories15M ${name}`)) continue;
    const model = { checkpoint: options.model, recipe, name: `stories15M ${name}` };
    yield await prepareModel({ folder }, model);
  }
}

const folder = await mkdtemp(join(tmpdir(), 'entrofleet-bench-'));
const results: CaseResult[] = [];
try {
  for await (const prepared of preparedCases(folder)) {
    for (const isa of options.isa.split(',')) {
      process.stderr.write(`bench-codec: ${prepared.name} on ${isa}\n`);
      const result = measure(prepared, isa);
      results.push(result);
      if (!options.json) console.log(`${caseTable(result)}\n`);
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
if (!options.json) console.log(`${LEGEND}\n`);
const rounded = (_: string, value: unknown) =>
  typeof value === 'number' ? Number(value.toPrecision(6)) : value;
console.log(JSON.stringify({ benchmark: 'codec', results }, rounded, options.json ? 2 : 0));
