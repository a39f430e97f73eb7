import { describe, expect, it } from 'vitest';
import type { AgentsResult } from './fleet.agents.ts';
import type { CrowdResult } from './fleet.crowd.ts';
import { agentsGoals, boundLine, crowdGoals } from './fleet.goals.ts';

function crowd(devices: number, change: { cores?: number; cpu?: number; stored?: number } = {}) {
  const api = { p95Ms: 20, maxMs: 50, byPath: {} };
  const result: CrowdResult = {
    devices,
    steady: {
      seconds: 60,
      reportsSent: devices,
      reportsStored: change.stored ?? devices,
      cores: { controller: change.cores ?? devices / 1e5 },
      controllerRssBytes: 1,
      api,
    },
    rollout: {
      seconds: 10,
      active: devices,
      chunkBytesPublished: 1,
      artifactBytes: 1,
      chunkBytesReceived: 1,
      controllerCpuSeconds: change.cpu ?? devices / 1000,
      cores: {},
      controllerPeakRssBytes: 1,
      api,
    },
  };
  return result;
}

function agents(change: Partial<AgentsResult> & { seconds?: number } = {}): AgentsResult {
  const { seconds = 12, ...rest } = change;
  const measured = { publishedBytes: 1, cores: {}, agentCpuMsPerMegabyte: 1 };
  const transfer = { agents: 1, medianSeconds: 10, seconds: 10, ...measured };
  const together = { ...transfer, agents: 64, seconds, publishedRatio: 1.1 };
  return {
    artifactBytes: 1,
    bytesPerSecond: 0,
    alone: { ...transfer, publishedRatio: 1 },
    together,
    wallRatio: seconds / 10,
    brokerEgressBytesPerSecond: 2e9,
    egressBytesPerSecond: 1e9,
    diskBytesPerSecond: 3e9,
    agentNiceness: 19,
    controllerPeakRssBytes: 1,
    api: { p95Ms: 1, maxMs: 1, byPath: {} },
    ...rest,
  };
}

const missed = (goals: ReturnType<typeof crowdGoals>) =>
  goals.filter((goal) => !goal.met).map((goal) => goal.name);

describe('goals of a crowd', () => {
  it('are met by linear growth without loss', () => {
    expect(missed(crowdGoals([crowd(1000), crowd(10_000)]))).toEqual([]);
  });

  it('name what is lost, too busy, or grows too fast', () => {
    const large = crowd(10_000, { cores: 0.7, cpu: 20, stored: 9999 });
    expect(missed(crowdGoals([crowd(1000), large]))).toEqual([
      '10000 devices: cores of the controller',
      '10000 devices: reports lost',
      '1000 to 10000 devices: growth of cores, steady',
      "1000 to 10000 devices: growth of a rollout's CPU time",
    ]);
  });
});

describe('goals of the agents', () => {
  it('are about one agent alone while the broker could hand out more', () => {
    expect(missed(agentsGoals([agents()]))).toEqual([]);
    expect(missed(agentsGoals([agents({ seconds: 20 })]))).toEqual([
      "64 agents at any rate: wall time over one agent's",
    ]);
  });

  it("are about the broker's limit where that is reached", () => {
    const result = agents({ seconds: 20, brokerEgressBytesPerSecond: 1.1e9 });
    expect(missed(agentsGoals([result]))).toEqual([]);
    expect(boundLine(result)).toContain("niceness 19: bound by the broker's limit; ");
    expect(boundLine(agents())).toContain('niceness 19: bound by one agent alone; ');
  });
});
