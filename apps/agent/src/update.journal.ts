import { createHash } from 'node:crypto';
import { readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  desiredSchema,
  instantSchema,
  measurementSchema,
  phaseSchema,
  reportSchema,
  targetSchema,
} from '@entrofleet/protocol';
import { z } from 'zod';
import { syncFolder, writeSynced } from './durable.file.ts';
import { systemCode } from './errors.ts';
import { INITIAL_SITUATION } from './update.states.ts';

const failureSchema = z.strictObject({ reason: z.string(), message: z.string() });

/** Fields with a default are not in records of earlier versions. */
const situationSchema = z.strictObject({
  state: phaseSchema,
  desired: desiredSchema.nullable(),
  next: desiredSchema.nullable().default(null),
  active: targetSchema.nullable(),
  previous: targetSchema.nullable(),
  restoring: z.boolean(),
  restoreStarts: z.int().min(0),
  crashes: z.int().min(0),
  loadAhead: z.boolean().default(true),
  repairs: z.int().min(0),
  failure: failureSchema.nullable(),
  trial: z
    .strictObject({ crashes: z.int().min(0) })
    .nullable()
    .default(null),
  lost: z
    .strictObject({ target: targetSchema, tries: z.int().min(0), failure: failureSchema })
    .nullable()
    .default(null),
  rolledBack: z
    .strictObject({ ...failureSchema.shape, from: targetSchema })
    .nullable()
    .default(null),
});

/** What has been measured on the way; it is reported, but decides nothing. */
const evidenceSchema = z.strictObject({
  phaseSeconds: reportSchema.shape.phaseSeconds,
  download: reportSchema.shape.download,
  delta: reportSchema.shape.delta.default(null),
  measurement: measurementSchema.nullable(),
  baseline: measurementSchema.nullable().default(null),
  rolledBackAt: instantSchema.nullable().default(null),
  linkBytesPerSecond: z.number().min(0).nullable().default(null),
  sample: reportSchema.shape.sample,
});
export type Evidence = z.infer<typeof evidenceSchema>;

export const NO_EVIDENCE: Evidence = {
  phaseSeconds: {},
  download: null,
  delta: null,
  measurement: null,
  baseline: null,
  rolledBackAt: null,
  linkBytesPerSecond: null,
  sample: null,
};

const recordSchema = z.strictObject({
  version: z.literal(1),
  boot: z.int().min(1),
  clean: z.boolean().describe('The agent ended on purpose'),
  situation: situationSchema,
  evidence: evidenceSchema,
});
export type JournalRecord = z.infer<typeof recordSchema>;

/** A first record. Its boot counter is the next start's, less one. */
export function firstRecord(nowMs: number): JournalRecord {
  // A device whose disk was wiped starts anew, yet its reports must count as newer than those of
  // its former life; seconds since 1970 are greater than any number of starts so far.
  const boot = Math.max(1, Math.floor(nowMs / 1000));
  return { version: 1, boot, clean: true, situation: INITIAL_SITUATION, evidence: NO_EVIDENCE };
}

/**
 * The agent's memory across power loss: one checksummed JSON record, replaced as a whole and
 * fsynced before the agent acts. The record before it is kept, so a file that was torn all the same
 * costs one step, not the device's state.
 */
export class UpdateJournal {
  readonly #path: string;
  readonly #beforePath: string;

  constructor(folder: string) {
    this.#path = join(folder, 'journal.json');
    this.#beforePath = join(folder, 'journal.before.json');
  }

  /**
   * Reads the newest intact record. A damaged file is set aside and named in `damaged`.
   * @throws the system's error when a file exists and cannot be read.
   */
  async read(nowMs: number): Promise<{ record: JournalRecord; damaged: string[] }> {
    const damaged: string[] = [];
    for (const path of [this.#path, this.#beforePath]) {
      const text = await readIfPresent(path);
      if (text === undefined) continue;
      const record = parseRecord(text);
      if (record !== undefined) return { record, damaged };
      await rename(path, `${path}.damaged`);
      damaged.push(`${path}.damaged`);
    }
    return { record: firstRecord(nowMs), damaged };
  }

  /** Replaces the record; it is on disk when the promise resolves. */
  async write(record: JournalRecord): Promise<void> {
    const temporary = `${this.#path}.new`;
    await writeSynced(temporary, serialise(record));
    await renameIfPresent(this.#path, this.#beforePath);
    await rename(temporary, this.#path);
    await syncFolder(dirname(this.#path));
  }
}

function serialise(record: JournalRecord): string {
  const body = JSON.stringify(record);
  return `${checksum(body)}\n${body}\n`;
}

function parseRecord(text: string): JournalRecord | undefined {
  const [sum, body, end] = text.split('\n');
  if (body === undefined || end !== '' || sum !== checksum(body)) return undefined;
  const parsed = recordSchema.safeParse(JSON.parse(body));
  return parsed.success ? parsed.data : undefined;
}

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function renameIfPresent(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}
