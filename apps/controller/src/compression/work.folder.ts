import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type EncodingPlan, hasPart, parsePlan } from '@entrofleet/artifact';
import type { VariantKey } from '../models/variant.key.ts';
import type { VariantWork } from '../models/variant.plan.ts';
import { fileStamps, folderStamps } from './source.stamp.ts';

/** Raised when the layout of a work folder changes, so that old ones are not found any more. */
const VERSION = 1;
const ATTEMPTS = 'attempts';
/** Other files, such as a README, may change meanwhile. */
const SOURCE_FILE = /\.(?:json|safetensors)$/;

/**
 * What has been made of one variant so far, on a file system that all workers share: the encoding
 * plan, and a part file for every group that is encoded. It belongs to one state of the source and
 * one recipe and layout; it is the only memory of unfinished work, and losing it costs time, no more.
 *
 * `<root>/<model>/<variant>/<identity>/` holds plan and parts, `<root>/<model>/<variant>/attempts/`
 * a file for every start of a step that was not finished yet.
 */
export class WorkFolder {
  readonly #variantFolder: string;
  readonly #folder: string;

  private constructor(variantFolder: string, identity: string) {
    this.#variantFolder = variantFolder;
    this.#folder = join(variantFolder, identity);
  }

  /** Nothing is created yet. A source that cannot be read counts as a state of its own. */
  static async of(root: string, key: VariantKey, work: VariantWork): Promise<WorkFolder> {
    const identity = (await workIdentity(work)) ?? 'unreadable';
    return new WorkFolder(variantFolder(root, key), identity);
  }

  get planPath(): string {
    return join(this.#folder, 'plan.json');
  }

  partPath(group: number): string {
    return join(this.#folder, partName(group));
  }

  /** @returns `undefined` when there is none, or a damaged one. */
  async readPlan(): Promise<EncodingPlan | undefined> {
    return parsePlan(await readFile(this.planPath, 'utf8').catch(() => ''));
  }

  async hasPart(plan: EncodingPlan, index: number): Promise<boolean> {
    return hasPart({ plan, index, path: this.partPath(index) });
  }

  /** Indices of the groups that are still to be encoded. */
  async missingGroups(plan: EncodingPlan): Promise<number[]> {
    const missing: number[] = [];
    for (const index of plan.groups.keys()) {
      if (!(await this.hasPart(plan, index))) missing.push(index);
    }
    return missing;
  }

  /** Share of the source that stands in part files, by their names only. */
  async encodedShare(plan: EncodingPlan): Promise<number> {
    const names = new Set(await readdir(this.#folder).catch(() => []));
    const size = (groups: EncodingPlan['groups']) =>
      groups.reduce((sum, group) => sum + group.sizeBytes, 0);
    return size(plan.groups.filter((_, index) => names.has(partName(index)))) / size(plan.groups);
  }

  /**
   * Notes that a step begins, so that one which always takes the whole worker down is given up.
   * @returns how often it began without an end, this time included, and how to take the note back.
   */
  async noteStart(step: string): Promise<{ starts: number; takeBack(): Promise<void> }> {
    const folder = join(this.#variantFolder, ATTEMPTS);
    await mkdir(folder, { recursive: true });
    const path = join(folder, `${step}.${randomUUID()}`);
    await writeFile(path, '');
    const names = await readdir(folder);
    return {
      starts: names.filter((name) => name.startsWith(`${step}.`)).length,
      takeBack: () => rm(path, { force: true }),
    };
  }

  /** A finished step may be begun anew as often as at first. */
  async forgetStarts(step = ''): Promise<void> {
    const folder = join(this.#variantFolder, ATTEMPTS);
    for (const name of await readdir(folder).catch(() => [])) {
      if (step === '' || name.startsWith(`${step}.`)) await rm(join(folder, name), { force: true });
    }
  }

  /** Removes everything that was kept for the variant. */
  async remove(): Promise<void> {
    await rm(this.#variantFolder, { recursive: true, force: true });
  }

  /** Removes what belongs to another state of the source or another recipe. */
  async removeOutdated(): Promise<void> {
    for (const name of await readdir(this.#variantFolder).catch(() => [])) {
      const path = join(this.#variantFolder, name);
      if (name === ATTEMPTS || path === this.#folder) continue;
      await rm(path, { recursive: true, force: true });
    }
  }
}

/** @returns `undefined` while the source cannot be read. */
export async function workIdentity(work: VariantWork): Promise<string | undefined> {
  const stamps = await folderStamps(work.sourcePath, SOURCE_FILE).catch(() => undefined);
  if (stamps === undefined) return undefined;
  const { recipe, layout, calibration } = work;
  const tokens = calibration && (await fileStamps([calibration.tokensPath]).catch(() => []));
  const identity = JSON.stringify([VERSION, recipe, layout, stamps, calibration, tokens]);
  return createHash('sha256').update(identity).digest('hex');
}

export function variantFolder(root: string, key: VariantKey): string {
  return join(root, key.model, key.variant);
}

function partName(group: number): string {
  return `part-${String(group).padStart(5, '0')}`;
}
