import { availableParallelism } from 'node:os';
import type { AgentsResult } from './fleet.agents.ts';
import type { CrowdResult } from './fleet.crowd.ts';

/** What was wanted of one figure, and whether it is so. */
export interface FleetGoal {
  readonly name: string;
  readonly figure: number;
  readonly atMost: number;
  readonly met: boolean;
}

/** How far growth may be from linear. */
const GROWTH_SLACK = 1.3;

export function crowdGoals(crowd: readonly CrowdResult[]): FleetGoal[] {
  const goals = crowd.flatMap(({ devices, steady, rollout }) => [
    goal(`${devices} devices: cores of the controller`, steady.cores.controller ?? 0, 0.6),
    ...(steady.reportsStored === null
      ? []
      : [goal(`${devices} devices: reports lost`, steady.reportsSent - steady.reportsStored, 0)]),
    goal(`${devices} devices: not active after the rollout`, devices - rollout.active, 0),
    goal(`${devices} devices: p95 of the API in ms, steady`, steady.api.p95Ms, 200),
    goal(`${devices} devices: p95 of the API in ms, rollout`, rollout.api.p95Ms, 200),
  ]);
  const [first, last] = [crowd[0], crowd.at(-1)];
  if (first === undefined || last === undefined || first === last) return goals;
  const most = (GROWTH_SLACK * last.devices) / first.devices;
  const ratio = (of: (result: CrowdResult) => number) => of(last) / of(first);
  const name = `${first.devices} to ${last.devices} devices:`;
  return [
    ...goals,
    goal(
      `${name} growth of cores, steady`,
      ratio((r) => r.steady.cores.controller ?? 0),
      most,
    ),
    goal(
      `${name} growth of a rollout's CPU time`,
      ratio((r) => r.rollout.controllerCpuSeconds),
      most,
    ),
  ];
}

export function agentsGoals(results: readonly AgentsResult[]): FleetGoal[] {
  return results.flatMap((result) => {
    const { together, alone, bytesPerSecond: rate } = result;
    const name = `${together.agents} agents at ${rate === 0 ? 'any rate' : `${rate} B/s`}:`;
    const egress = egressRatio(result);
    const wall = isBoundByBroker(result)
      ? goal(`${name} broker's limit over what was handed out`, egress, 1.2)
      : goal(`${name} wall time over one agent's`, together.seconds / alone.seconds, 1.3);
    return [
      goal(`${name} bytes published over the artifact's`, together.publishedRatio, 1.15),
      wall,
      goal(`${name} peak RSS of the controller`, result.controllerPeakRssBytes, 300 * 1024 * 1024),
      goal(`${name} p95 of the API in ms`, result.api.p95Ms, 200),
    ];
  });
}

/** Which bound applies to the wall time, and what else one machine shares out, for people. */
export function boundLine(result: AgentsResult): string {
  const { together, agentNiceness, diskBytesPerSecond } = result;
  const storedBytesPerSecond = result.egressBytesPerSecond;
  const busy = Object.values(together.cores).reduce((sum, cores) => sum + cores, 0);
  return (
    `${together.agents} agents, which stand for other machines and run at niceness ` +
    `${agentNiceness}: bound by ${isBoundByBroker(result) ? "the broker's limit" : 'one agent alone'}; ` +
    `the broker could hand out ${egressRatio(result).toFixed(2)} times as much, all processes used ` +
    `${busy.toFixed(2)} of ${availableParallelism()} cores (an agent ` +
    `${together.agentCpuMsPerMegabyte.toFixed(1)} ms for each MB, alone ` +
    `${result.alone.agentCpuMsPerMegabyte.toFixed(1)}), the one disk was written at ` +
    `${megabytes(storedBytesPerSecond)} of ${megabytes(diskBytesPerSecond)} MB/s\n`
  );
}

/** Where the broker can hand out no more, its limit is the bound; else one agent alone is. */
function isBoundByBroker(result: AgentsResult): boolean {
  return egressRatio(result) <= 1.2;
}

function egressRatio(result: AgentsResult): number {
  return result.brokerEgressBytesPerSecond / result.egressBytesPerSecond;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

/** A line for each goal, for people. */
export function goalLines(goals: readonly FleetGoal[]): string {
  const lines = goals.map(({ name, figure, atMost, met }) => [
    met ? 'met' : 'MISSED',
    String(figure),
    `<= ${atMost}`,
    name,
  ]);
  const width = (column: number) => Math.max(...lines.map((line) => line[column]?.length ?? 0));
  return lines
    .map((line) =>
      line.map((text, column) => text.padEnd(column < 3 ? width(column) : 0)).join('  '),
    )
    .map((line) => `${line}\n`)
    .join('');
}

function goal(name: string, figure: number, atMost: number): FleetGoal {
  return { name, figure: Number(figure.toFixed(3)), atMost, met: figure <= atMost };
}
