import { RequestRefused, type RolloutInput } from '@entrofleet/client';
import type { Device, Member, Model, Rollout } from '@entrofleet/protocol';
import { DemoError } from './demo.options.ts';
import { type RolloutEvidence, rolloutEvidence } from './demo.summary.ts';
import { until } from './demo.waiting.ts';
import type { ProgressLines } from './progress.lines.ts';
import type { RestClient } from './rest.client.ts';

/** A large model keeps one figure for a while; the default one never does for so long. */
const STALL_MS = 180_000;
export const PROMPT = 'Once upon a time, Lily';
const ROLLOUT = 'demo';
const REFUSAL = 'PerplexityBeyondBound';

export interface DemoRun {
  readonly client: RestClient;
  readonly progress: ProgressLines;
  readonly signal: AbortSignal;
}

export interface SourceModel {
  readonly name: string;
  readonly path: string;
  readonly evaluation: { readonly tokensPath: string; readonly rows: number } | undefined;
}

const VARIANTS = ['u8', 'u4-paper', 'rd-4.2'] as const;
export type DemoVariant = (typeof VARIANTS)[number];

/** Posts the model and waits until every variant is compressed and measured. */
export async function compressModel(run: DemoRun, source: SourceModel): Promise<Model> {
  const { client, progress, signal } = run;
  await client.createModel({
    metadata: { name: source.name },
    spec: {
      source: { path: source.path },
      variants: [...VARIANTS],
      ...(source.evaluation === undefined ? {} : { evaluation: source.evaluation }),
    },
  });
  const model = await until({
    what: `compressing ${source.name}`,
    read: () => client.model(source.name),
    done: (m) => variantsOf(m).every((v) => v.phase === 'Ready' || v.phase === 'Failed'),
    mark: (m) =>
      variantsOf(m)
        .map((v) => `${v.phase}${v.progress}${v.attempts}`)
        .join(),
    show: (m) => progress.show(modelLine(m)),
    describe: conditionsOf,
    stallMs: STALL_MS,
    signal,
  });
  const failed = model.status.variants.filter((v) => v.phase === 'Failed');
  if (failed.length > 0) {
    const reasons = failed.map((v) => `${v.name}: ${v.message}`).join('; ');
    throw new DemoError('CompressionFailed', `${reasons}; ${conditionsOf(model)}`);
  }
  return model;
}

/** Until the status has all variants, compression has not begun. */
function variantsOf(model: Model): Model['status']['variants'] {
  const pending = { phase: 'Pending', progress: 0, attempts: 0 } as const;
  return VARIANTS.map((name) => {
    const known = model.status.variants.find((v) => v.name === name);
    return (
      known ?? { ...pending, name, recipe: name, artifactId: null, quality: null, message: '' }
    );
  });
}

function modelLine(model: Model): string {
  return variantsOf(model)
    .map((v) => {
      const works = v.phase === 'Compressing' || v.phase === 'Evaluating';
      return `${v.name} ${v.phase}${works ? ` ${Math.round(v.progress * 100)} %` : ''}`;
    })
    .join(' | ');
}

/** Asks for the rollout of a variant that must be refused, and gives the controller's reason. */
export async function showRefusal(
  run: DemoRun,
  of: { readonly model: string; readonly variant: DemoVariant },
): Promise<{ variant: string; reason: string; message: string }> {
  const name = `${ROLLOUT}-refused`;
  try {
    await run.client.createRollout(rolloutInput({ ...of, name }));
  } catch (error) {
    if (!(error instanceof RequestRefused) || error.problem.reason !== REFUSAL) throw error;
    return { variant: of.variant, reason: error.problem.reason, message: error.message };
  }
  const rollout = await until({
    what: `refusing ${of.variant}`,
    read: () => run.client.rollout(name),
    done: (r) => r.status.observedGeneration > 0 && r.status.phase !== 'Pending',
    mark: (r) => r.status.phase,
    show: () => {},
    describe: conditionsOf,
    stallMs: 30_000,
    signal: run.signal,
  });
  if (rollout.status.phase !== 'Refused') {
    const message = `${of.variant} is beyond the quality bound, but its rollout is not refused`;
    throw new DemoError('NotRefused', `${message}: ${rollout.status.phase}`);
  }
  const condition = rollout.status.conditions.find((c) => c.reason === REFUSAL);
  await run.client.deleteRollout(name);
  const text = condition?.message ?? conditionsOf(rollout);
  return { variant: of.variant, reason: condition?.reason ?? 'Refused', message: text };
}

/** Rolls one variant out to every device, one device first, and waits until all have proved it. */
export async function rollOut(
  run: DemoRun,
  of: { readonly model: Model; readonly variant: DemoVariant; readonly isFirst: boolean },
): Promise<RolloutEvidence> {
  const { client, progress, signal } = run;
  const body = rolloutInput({ name: ROLLOUT, model: of.model.metadata.name, variant: of.variant });
  const accepted = of.isFirst
    ? await client.createRollout(body)
    : await client.replaceRollout(ROLLOUT, body);
  const { generation } = accepted.metadata;
  const state = await until({
    what: `rolling out ${of.variant}`,
    read: async () => ({
      rollout: await client.rollout(ROLLOUT),
      members: await client.members(ROLLOUT),
      devices: await client.devices(),
    }),
    done: ({ rollout }) => rollout.status.observedGeneration === generation && isSettled(rollout),
    mark: (seen) => `${rolloutLine(seen)}${bytesHeld(seen.devices)}`,
    show: (seen) => {
      const isCurrent = seen.rollout.status.observedGeneration === generation;
      progress.show(isCurrent ? rolloutLine(seen) : 'planning');
    },
    describe: ({ rollout }) => conditionsOf(rollout),
    stallMs: STALL_MS,
    signal,
  });
  if (state.rollout.status.phase !== 'Complete') {
    const members = state.members.map((m) => `${m.device} ${m.state}: ${m.message}`);
    const text = `${conditionsOf(state.rollout)}; ${members.join('; ')}`;
    throw new DemoError(`Rollout${state.rollout.status.phase}`, text);
  }
  return rolloutEvidence({ model: of.model, ...state });
}

function isSettled(rollout: Rollout): boolean {
  return ['Complete', 'Paused', 'Refused'].includes(rollout.status.phase);
}

function rolloutInput(of: { name: string; model: string; variant: DemoVariant }): RolloutInput {
  return {
    metadata: { name: of.name },
    spec: {
      selector: { matchExpressions: [{ key: 'site', operator: 'In', values: ['a', 'b'] }] },
      model: of.model,
      variant: of.variant,
      samplePrompt: PROMPT,
      strategy: { waves: [{ count: 1 }, { percent: 100 }], progressDeadlineSeconds: 120 },
    },
  };
}

function rolloutLine(seen: {
  readonly rollout: Rollout;
  readonly members: readonly Member[];
  readonly devices: readonly Device[];
}): string {
  const { status } = seen.rollout;
  const members = seen.members.map((member) => {
    const report = seen.devices.find((d) => d.metadata.name === member.device)?.status.report;
    if (member.state !== 'Updating') return `${member.device} ${member.state}`;
    const download = member.reason === 'Downloading' ? report?.download : null;
    const percent =
      download === null || download === undefined || download.bytesTotal === 0
        ? ''
        : ` ${Math.round((100 * download.bytesHeld) / download.bytesTotal)} %`;
    return `${member.device} ${member.reason}${percent}`;
  });
  if (members.length === 0) return 'planning';
  const wave = Math.min(status.currentWave + 1, status.totalWaves);
  return [`wave ${wave} of ${status.totalWaves}`, ...members].join(' | ');
}

function bytesHeld(devices: readonly Device[]): string {
  return devices.map((d) => d.status.report?.download?.bytesHeld ?? 0).join();
}

function conditionsOf(object: Model | Rollout): string {
  const conditions = object.status.conditions.map((c) => `${c.type} ${c.reason}: ${c.message}`);
  return `last conditions of ${object.metadata.name}: ${conditions.join('; ') || 'none'}`;
}
