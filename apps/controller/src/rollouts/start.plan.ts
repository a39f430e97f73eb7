import type { Member, RolloutStatus } from '@entrofleet/protocol';
import { approvalMissing } from './approval.plan.ts';
import { awaitDeltas } from './delta.wait.plan.ts';
import { type EvidenceVerdict, isBusy } from './evidence.plan.ts';
import { outsideWindow } from './hold.plan.ts';
import type { MemberVerdict } from './member.plan.ts';
import { type Allowance, paceAllowance } from './pace.plan.ts';
import { isOutside, totalWaves } from './rollout.status.plan.ts';
import type { RolloutFacts } from './rollout.types.ts';
import { openWaves, type WaveEntry } from './rollout.waves.ts';
import type { Stall } from './stall.plan.ts';
import { LEFT_BEHIND } from './threshold.plan.ts';
import type { Opening } from './time.window.plan.ts';

export interface StartFacts {
  readonly facts: RolloutFacts;
  readonly status: RolloutStatus;
  readonly verdicts: readonly MemberVerdict[];
  readonly evidence: EvidenceVerdict;
  readonly download: Opening;
  /** Nothing may be started. */
  readonly isPaused: boolean;
}

export interface Starts {
  readonly currentWave: number;
  /** The wave of each device that is started now, again or for the first time. */
  readonly waveOf: ReadonlyMap<string, number>;
  /** Why others are not. */
  readonly stalls: readonly Stall[];
}

/** Which devices begin now: first those that begin again, then those whose wave it is. */
export function decideStarts(of: StartFacts): Starts {
  const { facts, status, verdicts, evidence, download } = of;
  if (of.isPaused) return { currentWave: status.currentWave, waveOf: new Map(), stalls: [] };
  const awaited = deltasAwaited(of);
  if (awaited !== undefined) {
    return { currentWave: status.currentWave, waveOf: new Map(), stalls: [awaited] };
  }
  const { spec } = facts.rollout;
  const allowance = allowanceOf(of);
  const budget = download.isOpen ? allowance.starts : 0;
  const due = verdicts.filter((verdict) => verdict.isDue);
  const again = due.slice(0, Math.min(due.length, budget));
  const leaveOf = (wave: number) => leaveFor(of, wave);
  const opened = openWaves({
    entries: verdicts.map((verdict) =>
      waveEntry(verdict, evidence, spec.strategy.gates.length > 0),
    ),
    waves: spec.strategy.waves,
    currentWave: status.currentWave,
    selected: verdicts.filter(({ member }) => !isOutside(member)).length,
    budget: budget - again.length,
    mayOpen: (wave) => leaveOf(wave) === undefined,
  });
  const { currentWave, waitsFor } = opened;
  const stalls: Stall[] = [];
  const leave = waitsFor === 'Leave' ? leaveOf(currentWave + 1) : undefined;
  if (leave !== undefined) stalls.push(leave);
  if (waitsFor === 'Budget' || again.length < due.length) {
    stalls.push(download.isOpen ? paceStall(allowance) : outsideWindow('Download', download, 0));
  }
  const waveOf = new Map(again.map(({ member }) => [member.device, member.wave ?? currentWave]));
  for (const { device, wave } of opened.starts) waveOf.set(device, wave);
  return { currentWave, waveOf, stalls };
}

/** Only for devices that would begin, and have to fetch it. */
function deltasAwaited({ facts, verdicts }: StartFacts): Stall | undefined {
  const { openDeltas: open = [], predict, now } = facts;
  if (open.length === 0) return undefined;
  const devices = verdicts.filter(({ member, isCandidate, isDue }) => {
    return member.state !== 'Active' && (isCandidate || isDue);
  });
  return awaitDeltas({ devices, open, predict, now });
}

function allowanceOf({ facts, verdicts }: StartFacts): Allowance {
  const { strategy } = facts.rollout.spec;
  if (strategy.pace === null) return paceAllowance({ ...NO_PACE, now: facts.now });
  return paceAllowance({
    pace: strategy.pace,
    active: verdicts.filter(({ member }) => member.state === 'Active').length,
    startedAt: verdicts.flatMap((verdict) => startOf(verdict) ?? []),
    now: facts.now,
  });
}

const NO_PACE = { pace: null, active: 0, startedAt: [] };

/** Also of one that was asked before a crash kept it from being saved. */
function startOf({ member, asked, isAsked }: MemberVerdict): string | undefined {
  if (member.wave !== null) return member.startedAt ?? undefined;
  return isAsked && member.state !== 'Active' ? asked?.issuedAt : undefined;
}

function paceStall({ devicesPerMinute, nextAt }: Allowance): Stall {
  const rate = Number(devicesPerMinute.toFixed(2));
  const message = `strategy.pace is ${rate} devices a minute now; the next may start at ${nextAt}`;
  return { reason: 'Pace', message, until: nextAt, isPause: false };
}

function leaveFor({ facts, status, verdicts, evidence }: StartFacts, wave: number) {
  if (evidence.isWaveHeld && evidence.leave !== undefined) return evidence.leave;
  const { spec, metadata } = facts.rollout;
  const { approval } = spec.strategy;
  if (approval === 'None') return undefined;
  const labelsOf = new Map(
    verdicts.map(({ device }) => [device.metadata.name, device.metadata.labels]),
  );
  const members = verdicts.map(({ member }): Member => member);
  const waves = totalWaves(members, { spec, currentWave: status.currentWave, labelsOf });
  const rollout = metadata.name;
  return approvalMissing({ rollout, approval, status, wave, totalWaves: waves });
}

function waveEntry(
  verdict: MemberVerdict,
  { blockedClasses }: EvidenceVerdict,
  hasGates: boolean,
): WaveEntry {
  const { member, device, isAsked } = verdict;
  const isStarted = member.wave !== null;
  // One that was started, and got there before that was saved, proves itself before others follow.
  const isUnproven = hasGates && !isStarted && member.startedAt !== null;
  const isActive = member.state === 'Active' && !isUnproven;
  // Where evidence is asked for, somebody has to take the place of one that gives none.
  const isReplaced = hasGates && member.state === 'Failed' && member.reason === LEFT_BEHIND;
  return {
    device: member.device,
    labels: device.metadata.labels,
    wave: member.wave,
    holdsRoom: isStarted && member.state !== 'Offline' && !isReplaced,
    isBusy: isBusy(verdict),
    isCandidate: verdict.isCandidate && !blockedClasses.has(member.hardwareClass),
    isUnderway: isAsked && !isActive,
    isActive,
  };
}
