import type { RolloutStatus, Strategy } from '@entrofleet/protocol';
import type { Stall } from './stall.plan.ts';

/** Why a wave may not open before a person approves it, or `undefined`. Waves count from 0. */
export function approvalMissing(of: {
  rollout: string;
  approval: Strategy['approval'];
  status: Pick<RolloutStatus, 'approvedWave'>;
  wave: number;
  totalWaves: number;
}): Stall | undefined {
  const { approval, wave, status } = of;
  if (approval === 'None' || wave === 0) return undefined;
  const needed = approval === 'FirstWave' ? 1 : wave;
  if (status.approvedWave >= needed) return undefined;
  const message =
    `wave ${wave + 1} of ${Math.max(of.totalWaves, wave + 1)} waits for approval ` +
    `(strategy.approval ${approval}): entrofleet rollout approve ${of.rollout}`;
  return { reason: 'AwaitingApproval', message, until: null, isPause: true };
}
