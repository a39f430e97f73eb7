import type { Target } from '@entrofleet/protocol';
import { describe, expect, it, vi } from 'vitest';
import { desiredOf, referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { Agent } from './agent.ts';
import { stateOf } from './device.state.ts';
import { AgentError } from './errors.ts';
import { createLog } from './log.ts';
import { recoveryDelayMs } from './lost.model.ts';
import { ModelSlot } from './serve/model.slot.ts';
import type { HeldModel } from './serve/served.model.ts';
import { firstRecord } from './update.journal.ts';
import { INITIAL_SITUATION, type Situation } from './update.states.ts';
import type { UpdateSteps } from './update.steps.ts';

const A = targetOf(referenceOf('a'), { model: 'old' });
const B = targetOf(referenceOf('b'), { model: 'new' });
const FAILURE = { reason: 'DoesNotFit', message: 'needs 2, has 1' };

/** The update to B has failed, A serves, and nothing else is there. */
const FAILED: Situation = {
  ...INITIAL_SITUATION,
  state: 'Failed',
  desired: desiredOf(B, { revision: 5 }),
  active: A,
  failure: FAILURE,
};

type Steps = UpdateSteps<HeldModel>;

/** An agent that starts in this situation, and what its steps were asked. */
function agentIn(situation: Situation, own: Partial<Steps>) {
  const calls: string[] = [];
  const noted =
    <Rest extends unknown[], Result>(
      name: string,
      step: (target: Target, ...rest: Rest) => Promise<Result>,
    ) =>
    (target: Target, ...rest: Rest) => {
      calls.push(`${name} ${target.model}`);
      return step(target, ...rest);
    };
  const load: Steps['load'] = async (target) => ({ target, close: () => undefined });
  const steps: Steps = {
    download: noted('download', own.download ?? (async () => undefined)),
    verify: noted('verify', own.verify ?? (async () => null)),
    load: noted('load', own.load ?? load),
    restore: noted('restore', own.restore ?? load),
    test: () => Promise.reject(new AgentError('NoProbe', 'this test has none')),
    forgetAhead: async () => undefined,
    collect: async () => undefined,
  };
  const slot = new ModelSlot<HeldModel>();
  const agent = new Agent<HeldModel>({
    ...{ steps, slot, recoveryMs: 1, journal: { write: async () => undefined } },
    last: { ...firstRecord(1000), situation },
    log: createLog('error', () => undefined),
    onChange: () => undefined,
    onProgress: () => undefined,
  });
  agent.start();
  return { agent, slot, calls };
}

/** Fails so often, then works. */
function failing(times: number): Steps['restore'] {
  let left = times;
  return async (target) => {
    if (left-- > 0) throw new AgentError('OutOfMemory', 'no room to decode');
    return { target, close: () => undefined };
  };
}

describe('a model that cannot be loaded again when there is no other', () => {
  it('is tried until it serves, after an update that has failed', async () => {
    const { agent, slot } = agentIn(FAILED, { restore: failing(4) });
    await vi.waitFor(() => expect(slot.current?.target.model).toBe('old'));
    await agent.settled();
    expect(agent.situation).toMatchObject({ state: 'Failed', active: A, lost: null });
    await agent.stop();
  });

  it('is mended first when its artifact is damaged', async () => {
    let isDamaged = true;
    const { agent, slot, calls } = agentIn(FAILED, {
      verify: async () => (isDamaged ? '1 chunk' : null),
      download: async () => {
        isDamaged = false;
      },
      restore: async (target) => {
        if (isDamaged) throw new AgentError('HashMismatch', 'a chunk is damaged');
        return { target, close: () => undefined };
      },
    });
    await vi.waitFor(() => expect(slot.current?.target.model).toBe('old'));
    expect(calls).toEqual(['restore old', 'verify old', 'download old', 'restore old']);
    await agent.stop();
  });

  it('is Active again when it is what is wanted', async () => {
    const situation = { ...FAILED, state: 'Active', failure: null, active: B } as const;
    const load = () => Promise.reject(new AgentError('OutOfMemory', 'no room to decode'));
    const { agent, slot } = agentIn(situation, { load, restore: failing(3) });
    await vi.waitFor(() => expect(slot.current?.target.model).toBe('new'));
    await agent.settled();
    expect(agent.situation).toMatchObject({ state: 'Active', failure: null, lost: null });
    await agent.stop();
  });

  it('serves while another is still being fetched', async () => {
    const download: Steps['download'] = (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    const { agent, slot, calls } = agentIn(FAILED, { download, restore: failing(3) });
    agent.post({ kind: 'DesiredReceived', desired: desiredOf(B, { revision: 6, attempt: 1 }) });
    await vi.waitFor(() => expect(slot.current?.target.model).toBe('old'));
    await agent.settled();
    expect(agent.situation).toMatchObject({ state: 'Downloading', active: A, lost: null });
    expect(calls.filter((call) => call === 'download new')).toHaveLength(1);
    await agent.stop();
  });

  it('says why nothing serves, until nothing is wanted', async () => {
    const { agent, slot } = agentIn(FAILED, { restore: failing(Number.POSITIVE_INFINITY) });
    await vi.waitFor(() => expect(agent.situation.lost?.tries).toBeGreaterThan(1));
    const state = stateOf({
      ...{ agent, slot, endpoint: '', agentVersion: '0.1.0', labels: {} },
      capabilities: {} as Parameters<typeof stateOf>[0]['capabilities'],
    });
    expect(state.restoring?.model).toBe('old');
    expect(state.error?.message).toBe(
      'needs 2, has 1; no model serves: old u8 cannot be loaded again and is tried on: ' +
        'OutOfMemory: no room to decode',
    );
    agent.post({ kind: 'DesiredReceived', desired: desiredOf(null, { revision: 7 }) });
    await vi.waitFor(() => expect(agent.situation.state).toBe('Idle'));
    expect(agent.situation.lost).toBeNull();
    await agent.stop();
  });

  it('is tried ever more rarely, and at last every ten minutes', () => {
    expect([0, 1, 2, 7, 100].map((tries) => recoveryDelayMs(tries))).toEqual([
      ...[5000, 10_000, 20_000, 600_000, 600_000],
    ]);
  });
});
