import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Report, reportSchema } from '@entrofleet/protocol';

const SUFFIX = '.json';
const COUNT_MAX = 256;
const BYTES_MAX = 1024 * 1024;

interface Kept {
  readonly name: string;
  readonly sizeBytes: number;
}

/**
 * Reports that nobody has acknowledged, oldest first, on disk: a file each, so that a crash costs
 * none of them. They are bounded in number and bytes; the oldest go first. They are evidence and
 * decide nothing, so they are not synced: a power loss may cost some.
 */
export class ReportRing {
  readonly #folder: string;
  readonly #limits: { readonly count: number; readonly bytes: number };
  #kept: Kept[];

  private constructor(folder: string, kept: Kept[], limits: { count: number; bytes: number }) {
    this.#folder = folder;
    this.#kept = kept;
    this.#limits = limits;
  }

  /** Opens the ring with what former processes have left in it. */
  static async open(
    folder: string,
    limits: { readonly count: number; readonly bytes: number } = {
      count: COUNT_MAX,
      bytes: BYTES_MAX,
    },
  ): Promise<ReportRing> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const names = (await readdir(folder)).filter((name) => name.endsWith(SUFFIX)).sort();
    const kept: Kept[] = [];
    for (const name of names) {
      kept.push({ name, sizeBytes: (await readFile(join(folder, name))).length });
    }
    return new ReportRing(folder, kept, limits);
  }

  get count(): number {
    return this.#kept.length;
  }

  /** Keeps a report behind those before it. */
  async add(report: Report): Promise<void> {
    const text = JSON.stringify(report);
    const name = nameOf(report);
    await writeFile(join(this.#folder, name), text, { mode: 0o600 });
    this.#kept.push({ name, sizeBytes: Buffer.byteLength(text) });
    while (this.#isOver()) await this.drop();
  }

  /** The oldest report; undefined when there is none. Files that are damaged are passed over. */
  async oldest(): Promise<Report | undefined> {
    for (let first = this.#kept[0]; first !== undefined; first = this.#kept[0]) {
      const report = await readReport(join(this.#folder, first.name));
      if (report !== undefined) return report;
      await this.drop();
    }
    return undefined;
  }

  /** Forgets the oldest report. */
  async drop(): Promise<void> {
    const first = this.#kept.shift();
    if (first !== undefined) await rm(join(this.#folder, first.name), { force: true });
  }

  #isOver(): boolean {
    const bytes = this.#kept.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return this.#kept.length > this.#limits.count || bytes > this.#limits.bytes;
  }
}

/** Names sort as reports follow each other. */
function nameOf({ boot, sequence }: Report): string {
  const digits = (value: number) => String(value).padStart(16, '0');
  return `${digits(boot)}-${digits(sequence)}${SUFFIX}`;
}

async function readReport(path: string): Promise<Report | undefined> {
  try {
    return reportSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined;
  }
}
