import { cp, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Model, Rollout } from '@entrofleet/protocol';
import { FAULT_EFFECTS } from './chaos.faults.ts';
import { ChaosOperator } from './chaos.operator.ts';
import { findLitter, findScars, findSurvivors } from './chaos.remains.ts';
import { type ChaosStep, chaosSchedule, FAULT_KINDS, type FaultKind } from './chaos.schedule.ts';
import { ChaosTimeline } from './chaos.timeline.ts';
import { type ChaosWorld, MODELS, startWorld } from './chaos.world.ts';
import { referenceText } from './reference.text.ts';
import { type KnownModel, ServingWatch } from './serving.watch.ts';
import { WaveWatch } from './wave.watch.ts';

/** After the last fault everything is as it should be within this time. */
const CONVERGE_WITHIN_MS = 120_000;
const READY_WITHIN_MS = 120_000;
const POLL_MS = 500;

export interface ChaosOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly agents: number;
  /** Mean time between two faults. */
  readonly gapMs: number;
  readonly print: (line: string) => void;
}

export interface ChaosSummary {
  readonly seed: number;
  readonly seconds: number;
  readonly agents: number;
  readonly violations: readonly string[];
  readonly faults: Readonly<Record<string, number>>;
  readonly kills: Readonly<Record<string, number>>;
  readonly recoveries: number;
  readonly longestRecoveryMs: Readonly<Record<string, number>>;
  readonly modelChanges: number;
  readonly completions: number;
  readonly longestToCompleteMs: number;
  readonly convergedAfterFaultsMs: number | null;
  readonly answersChecked: number;
  readonly operatorRetries: number;
  readonly requestsRefused: number;
  readonly modelsCreated: number;
  readonly skipped: readonly string[];
  /** Where logs, time line and this summary are, when something was violated. */
  readonly evidence: string | null;
}

/** One run: a world, a schedule of faults and work from the seed, and the watching of both. */
class ChaosRun {
  readonly #options: ChaosOptions;
  readonly #world: ChaosWorld;
  readonly #timeline: ChaosTimeline;
  readonly #skipped: readonly string[];
  readonly #waves = new WaveWatch();
  readonly #operator: ChaosOperator;
  readonly #sessions = new Set<number>();
  readonly #faults = new Map<string, number>();
  #watches: ServingWatch[] = [];
  #convergedMs: number | null = null;

  constructor(use: {
    options: ChaosOptions;
    world: ChaosWorld;
    timeline: ChaosTimeline;
    skipped: readonly string[];
  }) {
    this.#options = use.options;
    this.#world = use.world;
    this.#timeline = use.timeline;
    this.#skipped = use.skipped;
    this.#operator = new ChaosOperator({ ...use, waves: this.#waves });
  }

  async run(): Promise<void> {
    const models = await this.#prepare();
    const stop = new AbortController();
    const { asked } = this.#operator;
    this.#watches = this.#world.agents.map((agent) => {
      const process = this.#process(agent.name);
      return new ServingWatch({ agent, process, models, timeline: this.#timeline, asked });
    });
    const watching = [this.#operator, ...this.#watches].map((w) => w.run(stop.signal));
    await this.#operator.changeModel(MODELS[0]);
    await this.#converge('before any fault');
    await this.#carryOut();
    await this.#settle();
    this.#convergedMs = await this.#converge('after the last fault');
    stop.abort();
    await Promise.all(watching);
    await this.#checkEnd();
    await this.#end();
  }

  /** Compresses the models and learns what each must say. */
  async #prepare(): Promise<Map<string, KnownModel>> {
    for (const model of MODELS) await this.#operator.createModel(model);
    const ready = await this.#until('the models are ready', READY_WITHIN_MS, async () => {
      const models = await this.#operator.models();
      return models.every(isReady) ? models : undefined;
    });
    const known = new Map<string, KnownModel>();
    for (const { metadata, status } of ready ?? []) {
      const artifactId = status.variants[0]?.artifactId ?? '';
      const path = join(this.#world.controllerFolder, 'blobs', `${artifactId}.efa`);
      const text = await referenceText(path);
      known.set(metadata.name, { name: metadata.name, artifactId, text });
    }
    if (new Set([...known.values()].map((m) => m.text)).size < MODELS.length) {
      throw new Error('the models of this run say the same, so texts would prove nothing');
    }
    return known;
  }

  async #carryOut(): Promise<void> {
    const { seed, seconds, gapMs } = this.#options;
    const schedule = chaosSchedule({
      ...{ seed, seconds, gapMs, models: MODELS, database: this.#world.hasDatabase },
      agents: this.#world.agents.map((agent) => agent.name),
      disks: this.#world.disks.size > 1,
    });
    const startMs = performance.now();
    const underway: Promise<void>[] = [];
    for (const step of schedule) {
      await sleep(Math.max(0, startMs + step.atMs - performance.now()));
      underway.push(this.#step(step));
    }
    await sleep(Math.max(0, startMs + seconds * 1000 - performance.now()));
    await Promise.all(underway);
    this.#timeline.note('the last fault is over');
  }

  async #step(step: ChaosStep): Promise<void> {
    const { kind, target, durationMs } = step;
    this.#noteSessions();
    this.#timeline.note(`${kind} ${target}${durationMs > 0 ? ` ${durationMs} ms` : ''}`);
    try {
      if (!isFault(kind)) return await this.#operator.perform(step);
      this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + 1);
      this.#excuse(target);
      await FAULT_EFFECTS[kind](this.#world, step);
      this.#excuse(target);
    } catch (error) {
      this.#timeline.violate(`${kind} ${target} was not got over: ${error}`);
    }
  }

  /** Without broker or controller every device may be taken for offline. */
  #excuse(target: string): void {
    const device = this.#world.agents.find(({ name }) => target.endsWith(name))?.name;
    this.#waves.excuse(device);
  }

  /** Everything is whole again. */
  async #settle(): Promise<void> {
    for (const link of this.#world.links.values()) link.set({ kind: 'Clear' });
    for (const disk of this.#world.disks.values()) await disk.empty();
    for (const process of this.#world.processes.values()) await process.settled();
  }

  /** @returns how long it took, or `null` when it did not. */
  async #converge(when: string): Promise<number | null> {
    const startMs = performance.now();
    const done = await this.#until(`all is well ${when}`, CONVERGE_WITHIN_MS, async () => {
      await this.#operator.retryModels();
      const rollout = await this.#operator.look();
      if (!isComplete(rollout, this.#world.agents.length)) return undefined;
      const models = await this.#operator.models();
      if (!models.every(isReady)) return undefined;
      const served = this.#watches.map((watch) => watch.served);
      return served.every((model) => model === rollout.spec.model) ? rollout : undefined;
    });
    this.#noteSessions();
    return done === undefined ? null : performance.now() - startMs;
  }

  async #until<T>(
    what: string,
    withinMs: number,
    ask: () => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const deadlineMs = performance.now() + withinMs;
    let last: unknown;
    while (performance.now() < deadlineMs) {
      const answer = await ask().catch((error: unknown) => {
        last = error;
        return undefined;
      });
      if (answer !== undefined) return answer;
      await sleep(POLL_MS);
    }
    const state = await this.#operator.look().catch(() => undefined);
    const detail = JSON.stringify({ last: String(last), rollout: state?.status });
    this.#timeline.violate(`not within ${withinMs / 1000} s: ${what}; ${detail}`);
    return undefined;
  }

  /** What was acknowledged is there, and nothing else is. */
  async #checkEnd(): Promise<void> {
    const { createdModels, labels, model } = this.#operator;
    const names = new Set((await this.#operator.models()).map((m) => m.metadata.name));
    for (const name of createdModels) {
      if (!names.has(name)) this.#timeline.violate(`model ${name} was acknowledged and is lost`);
    }
    for (const device of await this.#operator.devices()) {
      const value = labels.get(device.metadata.name);
      const note = device.spec.labels.note ?? '';
      if (value?.acknowledged === undefined || value.mayBe(note)) continue;
      const name = device.metadata.name;
      this.#timeline.violate(`label of ${name} is ${note}, acknowledged ${value.acknowledged}`);
    }
    const { spec } = await this.#operator.look();
    if (!model.mayBe(spec.model)) {
      const acknowledged = model.acknowledged ?? 'none';
      this.#timeline.violate(`the rollout has ${spec.model}, acknowledged was ${acknowledged}`);
    }
  }

  async #end(): Promise<void> {
    for (const litter of await findLitter(this.#world)) this.#timeline.violate(litter);
    await this.#world.stop();
    for (const scar of await findScars(this.#world)) this.#timeline.violate(scar);
    for (const left of await findSurvivors(this.#sessions)) this.#timeline.violate(left);
  }

  #noteSessions(): void {
    for (const { supervised } of this.#world.processes.values()) {
      if (supervised.running) this.#sessions.add(supervised.pid);
    }
  }

  #process(name: string) {
    const found = this.#world.processes.get(name);
    if (found === undefined) throw new Error(`there is no process ${name}`);
    return found;
  }

  summary(evidence: string | null): ChaosSummary {
    const { seed, seconds, agents } = this.#options;
    const processes = [...this.#world.processes.values()];
    const recoveries = processes.flatMap((process) => process.recoveries);
    const longest: Record<string, number> = {};
    const kills: Record<string, number> = {};
    for (const { name, kills: count } of processes) addTo(kills, familyOf(name), count);
    for (const { process, ms } of recoveries) {
      const family = familyOf(process);
      longest[family] = Math.max(longest[family] ?? 0, Math.round(ms));
    }
    const { convergedMs, retries, refused, createdModels, asked } = this.#operator;
    return {
      ...{ seed, seconds, agents, violations: this.#timeline.violations, kills },
      faults: Object.fromEntries([...this.#faults].sort()),
      recoveries: recoveries.length,
      longestRecoveryMs: longest,
      modelChanges: asked.length,
      completions: convergedMs.length,
      longestToCompleteMs: Math.round(Math.max(0, ...convergedMs)),
      convergedAfterFaultsMs: this.#convergedMs === null ? null : Math.round(this.#convergedMs),
      answersChecked: this.#watches.reduce((sum, watch) => sum + watch.answers, 0),
      operatorRetries: retries,
      requestsRefused: refused,
      modelsCreated: createdModels.size,
      ...{ skipped: this.#skipped, evidence },
    };
  }
}

/** Runs it and tells what happened; what was violated is in the summary, nothing is thrown. */
export async function runChaos(options: ChaosOptions): Promise<ChaosSummary> {
  const timeline = new ChaosTimeline(options.print);
  const skipped: string[] = [];
  const say = (line: string) => {
    skipped.push(line);
    timeline.note(line);
  };
  const world = await startWorld({ agents: options.agents, say });
  const run = new ChaosRun({ options, world, timeline, skipped });
  try {
    await run.run().catch((error: unknown) => {
      timeline.violate(`the run itself failed: ${error instanceof Error ? error.stack : error}`);
    });
    if (timeline.violations.length === 0) return run.summary(null);
    const evidence = await keepEvidence(world, timeline, options.seed);
    const summary = run.summary(evidence);
    await writeFile(join(evidence, 'summary.json'), JSON.stringify(summary, null, 2));
    return summary;
  } finally {
    await world.remove();
  }
}

async function keepEvidence(
  world: ChaosWorld,
  timeline: ChaosTimeline,
  seed: number,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `entrofleet-chaos-seed-${seed}-`));
  await writeFile(join(folder, 'timeline.txt'), `${timeline.lines.join('\n')}\n`);
  for (const { name, supervised } of world.processes.values()) {
    await cp(supervised.logPath, join(folder, `${name}.log`));
  }
  return folder;
}

function isFault(kind: ChaosStep['kind']): kind is FaultKind {
  const kinds: readonly string[] = FAULT_KINDS;
  return kinds.includes(kind);
}

function isReady({ status }: Model): boolean {
  return status.variants.length > 0 && status.variants.every((v) => v.phase === 'Ready');
}

function isComplete({ metadata, status }: Rollout, agents: number): boolean {
  const isCurrent = status.observedGeneration === metadata.generation;
  return isCurrent && status.phase === 'Complete' && status.counts.active === agents;
}

function familyOf(process: string): string {
  return process.startsWith('edge-') ? 'agent' : process;
}

function addTo(counts: Record<string, number>, name: string, count: number): void {
  counts[name] = (counts[name] ?? 0) + count;
}
