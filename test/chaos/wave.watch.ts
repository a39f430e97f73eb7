import type { Member, Rollout, RolloutSpec } from '@entrofleet/protocol';
import { waveCapacity } from '../../apps/controller/src/rollouts/rollout.waves.ts';

/** How long before a revision a device's trouble still excuses what it does in it. */
const EXCUSE_MS = 30_000;

/** What of a member it looks at. */
export type Standing = Pick<Member, 'device' | 'wave' | 'state'>;

/**
 * Looks at a rollout again and again: waves open one after the other, never more devices in one
 * than it takes. A device that something happened to is excused: one that comes back from offline
 * goes on in its old wave, whichever is open.
 */
export class WaveWatch {
  readonly #nowMs: () => number;
  readonly #troubledAtMs = new Map<string, number>();
  #everyoneTroubledAtMs = Number.NEGATIVE_INFINITY;
  #revision = 0;
  #revisionAtMs = 0;
  #wave = 0;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** @param device left out when it may concern every device. */
  excuse(device?: string): void {
    if (device === undefined) this.#everyoneTroubledAtMs = this.#nowMs();
    else this.#troubledAtMs.set(device, this.#nowMs());
  }

  /** @returns what is wrong with it. */
  see(rollout: Rollout, members: readonly Standing[]): string[] {
    const { revision, currentWave } = rollout.status;
    const problems: string[] = [];
    if (revision < this.#revision) problems.push(`revision ${this.#revision} became ${revision}`);
    if (revision !== this.#revision) {
      this.#revisionAtMs = this.#nowMs();
      this.#wave = 0;
    }
    if (currentWave < this.#wave) problems.push(`wave ${this.#wave} became ${currentWave}`);
    if (currentWave > this.#wave) problems.push(...this.#early(members, currentWave));
    problems.push(...this.#crowded(rollout.spec, members));
    this.#revision = revision;
    this.#wave = currentWave;
    return problems.map((problem) => `rollout revision ${revision}: ${problem}`);
  }

  #early(members: readonly Standing[], currentWave: number): string[] {
    return members
      .filter((m) => m.wave !== null && m.wave < currentWave && m.state === 'Updating')
      .filter((m) => !this.#isExcused(m.device))
      .map((m) => `wave ${currentWave} began while ${m.device} of wave ${m.wave} was updating`);
  }

  #crowded(spec: RolloutSpec, members: readonly Standing[]): string[] {
    const selected = members.filter((m) => m.state !== 'Conflict').length;
    return spec.strategy.waves.flatMap((_, wave) => {
      const started = members.filter((m) => m.wave === wave && !this.#isExcused(m.device));
      const most = waveCapacity(spec.strategy.waves, wave, selected);
      return started.length > most ? [`wave ${wave} has ${started.length} of ${most} devices`] : [];
    });
  }

  #isExcused(device: string): boolean {
    const sinceMs = this.#revisionAtMs - EXCUSE_MS;
    const atMs = this.#troubledAtMs.get(device) ?? Number.NEGATIVE_INFINITY;
    return Math.max(atMs, this.#everyoneTroubledAtMs) > sinceMs;
  }
}
