import type { Measurement, Target } from '@entrofleet/protocol';
import { describe, expect, it, vi } from 'vitest';
import { scratchFolder } from '../../../test/fixtures/scratch.folder.ts';
import { desiredOf, referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { Agent } from './agent.ts';
import { AgentError } from './errors.ts';
import { createLog } from './log.ts';
import { ModelSlot } from './serve/model.slot.ts';
import type { HeldModel } from './serve/served.model.ts';
import { type JournalRecord, UpdateJournal } from './update.journal.ts';
import type { UpdateSteps } from './update.steps.ts';

const A = targetOf(referenceOf('a'), { model: 'old' });
const B = targetOf(referenceOf('b'), { model: 'new' });

class StillModel implements HeldModel {
  target: Target;
  closed = false;

  constructor(target: Target) {
    this.target = target;
  }

  close(): void {
    this.closed = true;
  }
}

function measurementOf(target: Target, kind: Measurement['kind']): Measurement {
  return {
    kind,
    measuredAt: '2026-11-21T08:00:00.000Z',
    artifactId: target.artifact.id,
    threads: 1,
    prefillTokensPerSecond: 10,
    decodeTokensPerSecond: 5,
    entropyDecodeGigabytesPerSecond: null,
    loadSeconds: 1,
    peakRssBytes: null,
    temperatureCelsius: null,
    fingerprintDeviation: 0,
  };
}

/** Steps that take no time, each of which a test may replace. */
function stepsWith(
  own: Partial<UpdateSteps<StillModel>> = {},
): UpdateSteps<StillModel> & { readonly loaded: StillModel[]; readonly collected: string[][] } {
  const loaded: StillModel[] = [];
  const collected: string[][] = [];
  const make = async (target: Target): Promise<StillModel> => {
    const model = new StillModel(target);
    loaded.push(model);
    return model;
  };
  return {
    loaded,
    collected,
    download: async () => undefined,
    verify: async () => null,
    load: make,
    restore: make,
    test: async (model, { kind }) => ({
      measurement: measurementOf(model.target, kind),
      sample: null,
    }),
    forgetAhead: async () => undefined,
    collect: async (keep) => void collected.push([...keep]),
    ...own,
  };
}

async function agentOn(
  folder: string,
  steps: UpdateSteps<StillModel>,
  journalWith: (journal: UpdateJournal) => { write(record: JournalRecord): Promise<void> } = (j) =>
    j,
  options: { readonly baselineFreshMs?: number; readonly trialMs?: number } = {},
) {
  const journal = new UpdateJournal(folder);
  const { record: last } = await journal.read(1000);
  const slot = new ModelSlot<StillModel>();
  const agent = new Agent<StillModel>({
    steps,
    slot,
    journal: journalWith(journal),
    last,
    log: createLog('error', () => undefined),
    onChange: () => undefined,
    onProgress: () => undefined,
    journalRetryMs: 5,
    ...options,
  });
  agent.start();
  return { agent, slot, journal };
}

const wanting = (target: Target | null, revision: number, attempt = 0) =>
  ({ kind: 'DesiredReceived', desired: desiredOf(target, { revision, attempt }) }) as const;

async function reaches(agent: Agent<StillModel>, state: string): Promise<void> {
  await vi.waitFor(() => expect(agent.situation.state).toBe(state), { interval: 2 });
  await agent.settled();
}

describe('an update', () => {
  it('ends Active with its measurement; the model before is closed, its artifact kept', async () => {
    const steps = stepsWith();
    const { agent, slot } = await agentOn(await scratchFolder(), steps);
    agent.post(wanting(A, 1));
    await reaches(agent, 'Active');
    agent.post(wanting(B, 2));
    await vi.waitFor(() => expect(slot.current?.target.model).toBe('new'));
    await reaches(agent, 'Active');
    expect(steps.loaded.map((m) => m.closed)).toEqual([true, false]);
    expect(steps.collected.at(-1)?.sort()).toEqual([A.artifact.id, B.artifact.id]);
    expect(agent.evidence.measurement?.artifactId).toBe(B.artifact.id);
    const phases = Object.keys(agent.evidence.phaseSeconds).sort();
    expect(phases).toEqual(['Activating', 'Decoding', 'Downloading', 'Testing', 'Verifying']);
    await agent.stop();
  });

  it.each(['download', 'verify', 'load', 'test'] as const)(
    'that fails at %s leaves the old model serving, until it is tried again',
    async (step) => {
      const steps = stepsWith();
      const { agent, slot } = await agentOn(await scratchFolder(), steps);
      agent.post(wanting(A, 1));
      await reaches(agent, 'Active');
      const works = steps[step];
      steps[step] = async () => {
        throw new AgentError('DoesNotFit', 'needs 2, has 1');
      };
      agent.post(wanting(B, 2));
      await reaches(agent, 'Failed');
      expect(agent.situation.failure).toEqual({ reason: 'DoesNotFit', message: 'needs 2, has 1' });
      expect(slot.current?.target.model).toBe('old');
      expect(agent.evidence.measurement?.artifactId).toBe(A.artifact.id);
      expect(steps.loaded.slice(1).every((m) => m.closed)).toBe(true);
      Object.assign(steps, { [step]: works });
      agent.post(wanting(B, 2, 1));
      await reaches(agent, 'Active');
      expect(slot.current?.target.model).toBe('new');
      await agent.stop();
    },
  );

  it('is abandoned for a newer one, and its step ends before the next begins', async () => {
    const running: string[] = [];
    const download: UpdateSteps<StillModel>['download'] = async (target, { signal }) => {
      running.push(`+${target.model}`);
      if (target === A) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      running.push(`-${target.model}`);
    };
    const { agent, slot } = await agentOn(await scratchFolder(), stepsWith({ download }));
    agent.post(wanting(A, 1));
    await vi.waitFor(() => expect(running).toEqual(['+old']));
    agent.post(wanting(B, 2));
    await reaches(agent, 'Active');
    expect(running).toEqual(['+old', '-old', '+new', '-new']);
    expect(slot.current?.target.model).toBe('new');
    await agent.stop();
  });

  it('to no target stops serving', async () => {
    const steps = stepsWith();
    const { agent, slot } = await agentOn(await scratchFolder(), steps);
    agent.post(wanting(A, 1));
    await reaches(agent, 'Active');
    agent.post(wanting(null, 2));
    await reaches(agent, 'Idle');
    expect(slot.current).toBeNull();
    expect(steps.loaded[0]?.closed).toBe(true);
    expect(agent.evidence.measurement).toBeNull();
    await agent.stop();
  });
});

describe('what an update is compared with', () => {
  it('is measured anew on the model that serves, by the same method, before the new one', async () => {
    const tested: string[] = [];
    const steps = stepsWith();
    const { test } = steps;
    steps.test = (model, context) => {
      tested.push(`${model.target.model} ${context.kind}`);
      return test(model, context);
    };
    const { agent } = await agentOn(await scratchFolder(), steps, undefined, {
      baselineFreshMs: -1,
    });
    agent.post(wanting(A, 1));
    await reaches(agent, 'Active');
    agent.post(wanting(B, 2));
    await vi.waitFor(() => expect(agent.situation.active).toBe(B));
    expect(tested).toEqual(['old Activation', 'old Periodic', 'new Activation']);
    expect(agent.evidence.baseline?.artifactId).toBe(A.artifact.id);
    expect(agent.evidence.measurement?.artifactId).toBe(B.artifact.id);
    await agent.stop();
  });

  it('is what was measured a moment ago, and lacks when that fails', async () => {
    for (const baselineFreshMs of [60_000, -1]) {
      const tested: string[] = [];
      const steps = stepsWith();
      const { test } = steps;
      steps.test = (model, context) => {
        tested.push(`${model.target.model} ${context.kind}`);
        if (context.kind === 'Periodic') throw new AgentError('NonFiniteLogits', 'NaN');
        return test(model, context);
      };
      const options = { baselineFreshMs };
      const { agent } = await agentOn(await scratchFolder(), steps, undefined, options);
      agent.post(wanting(A, 1));
      await reaches(agent, 'Active');
      agent.post(wanting(B, 2));
      await vi.waitFor(() => expect(agent.situation.active).toBe(B));
      expect(tested.includes('old Periodic')).toBe(baselineFreshMs < 0);
      expect(agent.evidence.baseline?.kind).toBe('Activation');
      await agent.stop();
    }
  });
});

describe('a new model', () => {
  it('that fails to serve is rolled back, with the figures of the one before it', async () => {
    const { agent, slot } = await agentOn(await scratchFolder(), stepsWith());
    agent.post(wanting(A, 1));
    await reaches(agent, 'Active');
    agent.post(wanting(B, 2));
    await vi.waitFor(() => expect(slot.current?.target.model).toBe('new'));
    await agent.settled();
    agent.post({ kind: 'ServingFailed', failure: { reason: 'ServingFailed', message: 'NaN' } });
    await vi.waitFor(() => expect(slot.current?.target.model).toBe('old'));
    await agent.settled();
    expect(agent.situation).toMatchObject({ state: 'Failed', rolledBack: { from: B } });
    expect(agent.evidence.rolledBackAt).not.toBeNull();
    expect(agent.evidence.measurement?.artifactId).toBe(A.artifact.id);
    await agent.stop();
  });

  it('is trusted when it has served for long enough', async () => {
    const { agent } = await agentOn(await scratchFolder(), stepsWith(), undefined, { trialMs: 5 });
    agent.post(wanting(A, 1));
    await reaches(agent, 'Active');
    await vi.waitFor(() => expect(agent.situation.trial).toBeNull());
    await agent.stop();
  });
});

it('the clock decides nothing: hours and years off, an update goes as ever', async () => {
  for (const now of ['1970-01-01T00:00:10.000Z', '2099-12-31T23:59:59.000Z']) {
    vi.useFakeTimers({ toFake: ['Date'], now: new Date(now) });
    try {
      const { agent, slot } = await agentOn(await scratchFolder(), stepsWith());
      agent.post(wanting(A, 1));
      await reaches(agent, 'Active');
      vi.setSystemTime(new Date('2001-01-01T00:00:00.000Z'));
      agent.post(wanting(B, 2));
      await vi.waitFor(() => expect(slot.current?.target.model).toBe('new'));
      await reaches(agent, 'Active');
      await agent.stop();
    } finally {
      vi.useRealTimers();
    }
  }
});

describe('the journal', () => {
  it('is written before the step it tells of begins', async () => {
    const order: string[] = [];
    const steps = stepsWith({ download: async () => void order.push('download') });
    const { agent } = await agentOn(await scratchFolder(), steps, () => ({
      write: async (record) => void order.push(`journal ${record.situation.state}`),
    }));
    agent.post(wanting(A, 1));
    await reaches(agent, 'Active');
    expect(order.slice(0, 3)).toEqual(['journal Idle', 'journal Downloading', 'download']);
    await agent.stop();
  });

  it('that cannot be written holds the update up, says so, and lets it go on later', async () => {
    let full = false;
    const steps = stepsWith();
    const { agent, slot } = await agentOn(await scratchFolder(), steps, (journal) => ({
      write: (record) =>
        full ? Promise.reject(new Error('no space left')) : journal.write(record),
    }));
    agent.post(wanting(A, 1));
    await reaches(agent, 'Active');
    full = true;
    agent.post(wanting(B, 2));
    await vi.waitFor(() => expect(agent.journalFailure).toBe('no space left'));
    expect(slot.current?.target.model).toBe('old');
    full = false;
    await vi.waitFor(() => expect(slot.current?.target.model).toBe('new'));
    expect(agent.journalFailure).toBeNull();
    await agent.stop();
  });
});

describe('a new process', () => {
  /** An agent that is killed in a state: what it holds in memory is gone, its folder stays. */
  async function killedIn(state: 'Downloading' | 'Testing' | 'Active'): Promise<string> {
    const folder = await scratchFolder();
    const never = new Promise<never>(() => undefined);
    const stuck = { Downloading: { download: () => never }, Testing: { test: () => never } };
    const first = await agentOn(folder, stepsWith());
    first.agent.post(wanting(A, 1));
    await reaches(first.agent, 'Active');
    await first.agent.stop();
    const own = state === 'Active' ? {} : stuck[state];
    const second = await agentOn(folder, stepsWith(own));
    await vi.waitFor(() => expect(second.slot.current).not.toBeNull());
    if (state !== 'Active') second.agent.post(wanting(B, 2));
    await reaches(second.agent, state);
    return folder;
  }

  it.each(['Downloading', 'Testing'] as const)(
    'after a kill in %s serves the old model first, then finishes the update',
    async (state) => {
      const folder = await killedIn(state);
      const order: string[] = [];
      const steps = stepsWith();
      const { restore, download, load } = steps;
      const { agent, slot } = await agentOn(folder, {
        ...steps,
        restore: (target, context) => {
          order.push(`restore ${target.model}`);
          return restore(target, context);
        },
        download: (target, context) => {
          order.push('download');
          return download(target, context);
        },
        load: (target, context) => {
          order.push(`load ${target.model} beside ${slot.current?.target.model}`);
          return load(target, context);
        },
      });
      await vi.waitFor(() => expect(slot.current?.target.model).toBe('new'));
      const fetched = state === 'Downloading' ? ['download'] : [];
      expect(order).toEqual(['restore old', ...fetched, 'load new beside old']);
      await agent.stop();
    },
  );

  it('counts its starts', async () => {
    const folder = await killedIn('Active');
    const { agent } = await agentOn(folder, stepsWith());
    await agent.settled();
    const again = await agentOn(folder, stepsWith());
    expect(again.agent.boot).toBe(agent.boot + 1);
    await agent.stop();
    await again.agent.stop();
  });

  it('mends the active artifact when it cannot be loaded any more', async () => {
    const folder = await killedIn('Active');
    let intact = false;
    const steps = stepsWith();
    const { agent, slot } = await agentOn(folder, {
      ...steps,
      restore: async () => {
        throw new AgentError('HashMismatch', 'damaged');
      },
      verify: async () => (intact ? null : '1 of 3 chunks are damaged'),
      download: async () => {
        intact = true;
      },
    });
    await vi.waitFor(() => expect(slot.current?.target.model).toBe('old'));
    await reaches(agent, 'Active');
    await agent.stop();
  });
});
