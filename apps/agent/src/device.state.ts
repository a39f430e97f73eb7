import { LIMITS, type Phase, type Target } from '@entrofleet/protocol';
import type { Agent } from './agent.ts';
import { readCapabilities } from './capabilities.ts';
import type { AgentConfig } from './config.ts';
import { reclaimableBytes } from './kept.artifacts.ts';
import type { ReportedState } from './reporter.ts';
import type { ModelSlot } from './serve/model.slot.ts';
import type { HeldModel } from './serve/served.model.ts';
import type { Evidence } from './update.journal.ts';
import type { Situation } from './update.states.ts';

export interface DeviceStateSource {
  readonly config: AgentConfig;
  readonly agent: Agent<HeldModel>;
  readonly slot: ModelSlot<HeldModel>;
  readonly endpoint: string;
  readonly agentVersion: string;
  readonly isa: readonly string[];
  /** Memory bandwidth as measured at start; null: it could not be. */
  readonly readBytesPerSecond: number | null;
}

/** The whole state of this device, as it is at this moment. */
export async function readDeviceState(source: DeviceStateSource): Promise<ReportedState> {
  const { config, isa, readBytesPerSecond } = source;
  const { dataFolder, memoryBudgetBytes, labels } = config;
  const readings = await readCapabilities({ dataFolder, isa, memoryBudgetBytes });
  return stateOf({ ...source, labels, capabilities: { ...readings, readBytesPerSecond } });
}

/** The same with what was read of the system given. */
export function stateOf(
  source: Pick<DeviceStateSource, 'agent' | 'slot' | 'endpoint' | 'agentVersion'> &
    Pick<ReportedState, 'labels' | 'capabilities'>,
): ReportedState {
  const { agent, slot, endpoint, agentVersion, labels } = source;
  const { situation, evidence } = agent;
  const { linkBytesPerSecond } = evidence;
  const active = slot.current?.target ?? null;
  return {
    agentVersion,
    labels,
    capabilities: {
      ...source.capabilities,
      linkBytesPerSecond,
      diskReclaimableBytes: reclaimableBytes(situation),
    },
    observedRevision: situation.desired?.revision ?? 0,
    observedAttempt: situation.desired?.attempt ?? 0,
    phase: reportedPhase(situation),
    target: identity(situation.desired?.target ?? null),
    active: identity(active),
    restoring: identity(beingLoadedAgain(situation)),
    endpoint,
    download: evidence.download,
    delta: evidence.delta ?? null,
    phaseSeconds: evidence.phaseSeconds,
    measurement: evidence.measurement,
    baseline: evidence.baseline,
    rolledBack: reportedRollBack(situation, evidence),
    sample: evidence.sample,
    error: reportedError(situation, agent.journalFailure),
  };
}

/** Right after a start the active model is not active yet: it is being decoded again. */
function reportedPhase(situation: Situation): Phase {
  return situation.restoring && situation.state === 'Active' ? 'Decoding' : situation.state;
}

function beingLoadedAgain({ restoring, active, lost }: Situation): Target | null {
  return restoring ? active : (lost?.target ?? null);
}

function reportedRollBack(
  { rolledBack }: Situation,
  { rolledBackAt }: Evidence,
): ReportedState['rolledBack'] {
  if (rolledBack === null || rolledBackAt === null) return null;
  const { reason, message } = rolledBack;
  const from = identity(rolledBack.from);
  return from === null ? null : { from, reason, message, at: rolledBackAt };
}

function reportedError(
  situation: Situation,
  journalFailure: string | null,
): ReportedState['error'] {
  if (journalFailure === null) return withLoss(situation);
  const message = `the journal cannot be written: ${journalFailure}`.slice(0, 2000);
  return { reason: 'JournalUnwritable', message };
}

/** That nothing serves is said whatever else has failed. */
function withLoss({ failure, lost, active }: Situation): ReportedState['error'] {
  if (lost === null || active !== null) return failure;
  const { model, variant } = lost.target;
  const loss =
    `no model serves: ${model} ${variant} cannot be loaded again and is tried on: ` +
    `${lost.failure.reason}: ${lost.failure.message}`;
  const message = failure === null ? loss : `${failure.message}; ${loss}`;
  const reason = failure?.reason ?? lost.failure.reason;
  return { reason, message: message.slice(0, LIMITS.errorMessageLength) };
}

function identity(target: Target | null): ReportedState['target'] {
  if (target === null) return null;
  return { model: target.model, variant: target.variant, artifactId: target.artifact.id };
}
