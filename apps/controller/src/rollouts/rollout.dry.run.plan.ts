import {
  type Device,
  type DryRun,
  type DryRunDevice,
  type DryRunWave,
  hardwareClassOf,
  LIMITS,
  type Strategy,
} from '@entrofleet/protocol';
import type { VariantsAcceptance } from './acceptance.plan.ts';
import { unavailableLimit } from './hold.plan.ts';
import { ownersBefore } from './ownership.plan.ts';
import type { RolloutFacts } from './rollout.types.ts';
import { openWaves } from './rollout.waves.ts';
import type { Predict } from './update.prediction.ts';
import { chooseVariant } from './variant.choice.plan.ts';
import { inOrder } from './wave.order.plan.ts';

export interface DryRunFacts {
  readonly rollout: RolloutFacts;
  readonly acceptance: VariantsAcceptance;
  readonly predict: Predict;
}

/** Everything that a dry run answers, with all devices. */
export type DryRunPlan = Omit<DryRun, 'metadata'>;

/** What the rollout would do from now on, if every device that is started became active. */
export function dryRun(facts: DryRunFacts): DryRunPlan {
  const { rollout, acceptance } = facts;
  const { strategy } = rollout.rollout.spec;
  const { metadata } = rollout.rollout;
  const ownerOf = ownersBefore(metadata, rollout.others);
  const judged = inOrder(rollout.devices, rollout.members, strategy.order).map(({ device }) =>
    forecast(facts, { device, owner: ownerOf(device) }),
  );
  const items = placed(rollout, judged);
  const selected = items.filter(({ outcome }) => outcome !== 'Conflict').length;
  const waves = wavesOf(items, { strategy, selected });
  const count = (...outcomes: DryRunDevice['outcome'][]) =>
    items.filter(({ outcome }) => outcomes.includes(outcome)).length;
  const { kind: status, reason, message } = acceptance;
  return {
    accepted: { status, reason, message },
    waves,
    totals: {
      devices: items.length,
      updates: count('Update'),
      active: count('Active'),
      offline: count('Offline'),
      left: count('Unfit', 'Conflict', 'Pinned', 'NotAccepted'),
      bytesToFetch: sum(waves.map((wave) => wave.bytesToFetch)),
      bytesPublished: sum(waves.map((wave) => wave.bytesPublished)),
      seconds: sumOfKnown(waves.map((wave) => wave.seconds)),
    },
    items,
  };
}

function forecast(
  facts: DryRunFacts,
  { device, owner }: { device: Device; owner: string | undefined },
): DryRunDevice {
  const { rollout, acceptance } = facts;
  const { spec } = rollout.rollout;
  const nothing = (outcome: DryRunDevice['outcome'], message: string): DryRunDevice => ({
    device: device.metadata.name,
    hardwareClass: classOf(device),
    outcome,
    ...{ wave: null, variant: null, artifactId: null, bytesToFetch: null, seconds: null },
    message: message.slice(0, LIMITS.errorMessageLength),
  });
  if (owner !== undefined) {
    return nothing('Conflict', `rollout "${owner}" is older and keeps this device`);
  }
  if (device.spec.pinned || device.spec.quarantined) {
    return nothing('Pinned', `is ${device.spec.quarantined ? 'quarantined' : 'pinned'}`);
  }
  if (acceptance.kind !== 'Accepted') return nothing('NotAccepted', acceptance.message);
  const choice = chooseVariant({
    device,
    candidates: acceptance.candidates,
    preference: spec.preference,
    footprints: rollout.footprints,
    isForced: spec.force,
    timeouts: spec.strategy.timeouts,
    bytesToFetch: (target) => facts.predict(device, target).bytesToFetch,
  });
  const target = choice.chosen;
  if (target === undefined) {
    return nothing('Unfit', choice.rejected.map(({ message }) => message).join('; '));
  }
  const { bytesToFetch, seconds, explanation } = facts.predict(device, target);
  const runs = device.status.report?.active?.artifactId === target.artifact.id;
  const outcome = runs ? 'Active' : device.status.online ? 'Update' : 'Offline';
  const { variant, artifact } = target;
  const why = runs ? explanation : `${choice.message}; ${explanation}`;
  return {
    ...nothing(outcome, why),
    ...{ variant, artifactId: artifact.id, bytesToFetch, seconds },
  };
}

/** Each device in the wave it would go in; those that are not updated now are in none. */
function placed({ rollout, members, devices }: RolloutFacts, items: readonly DryRunDevice[]) {
  const labelsOf = new Map(devices.map(({ metadata }) => [metadata.name, metadata.labels]));
  const started = new Map(members.map((member) => [member.device, member.wave]));
  const { starts } = openWaves({
    entries: items.map(({ device, outcome }) => {
      const wave = started.get(device) ?? null;
      const goes = outcome === 'Update' || outcome === 'Active';
      return {
        ...{ device, wave, isUnderway: false, isBusy: false },
        labels: labelsOf.get(device) ?? {},
        holdsRoom: goes && wave !== null,
        isCandidate: goes && wave === null,
        // As if it had arrived at once: then every wave opens.
        isActive: true,
      };
    }),
    waves: rollout.spec.strategy.waves,
    currentWave: members.length > 0 ? rollout.status.currentWave : 0,
    selected: items.filter(({ outcome }) => outcome !== 'Conflict').length,
  });
  const waveOf = new Map(starts.map(({ device, wave }) => [device, wave]));
  return items.map((item) => ({
    ...item,
    wave: waveOf.get(item.device) ?? started.get(item.device) ?? null,
  }));
}

function wavesOf(
  items: readonly DryRunDevice[],
  of: { strategy: Strategy; selected: number },
): DryRunWave[] {
  const last = items.reduce((highest, { wave }) => Math.max(highest, wave ?? -1), -1);
  return Array.from({ length: last + 1 }, (_, wave) => {
    const own = items.filter((item) => item.wave === wave);
    const updates = own.filter(({ outcome }) => outcome === 'Update');
    return {
      wave,
      devices: own.length,
      bytesToFetch: sum(updates.map(({ bytesToFetch }) => bytesToFetch ?? 0)),
      bytesPublished: publishedBytes(updates),
      seconds: waveSeconds(
        updates.map(({ seconds }) => seconds),
        of,
      ),
    };
  });
}

/** Of each artifact at least what the device fetches that lacks the most of it. */
function publishedBytes(updates: readonly DryRunDevice[]): number {
  const most = new Map<string, number>();
  for (const { artifactId, bytesToFetch } of updates) {
    const id = artifactId ?? '';
    most.set(id, Math.max(most.get(id) ?? 0, bytesToFetch ?? 0));
  }
  return sum([...most.values()]);
}

/** The slowest device of each batch that may be unavailable at once, or the pace of starting. */
function waveSeconds(
  seconds: readonly (number | null)[],
  { strategy, selected }: { strategy: Strategy; selected: number },
): number | null {
  const known = seconds.filter((each) => each !== null).sort((a, b) => b - a);
  if (known.length < seconds.length) return null;
  const atOnce = unavailableLimit(strategy.maxUnavailable, selected);
  const batches = sum(known.filter((_, index) => index % Math.max(1, atOnce) === 0));
  const { devicesPerMinute } = strategy.pace ?? {};
  if (devicesPerMinute === undefined) return batches;
  const starting = (Math.max(0, known.length - 1) * 60) / devicesPerMinute;
  return Math.max(batches, starting + (known[0] ?? 0));
}

function classOf(device: Device): string {
  const capabilities = device.status.report?.capabilities;
  return hardwareClassOf({ labels: device.metadata.labels, capabilities });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function sumOfKnown(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>(
    (total, value) => (total === null || value === null ? null : total + value),
    0,
  );
}
