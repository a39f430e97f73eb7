/**
 * `make demo`: compresses a model, shows that a ruined variant is refused, rolls two good ones out
 * to three agents and prints what each device has proved. MODEL, ONCE and DEMO_JSON: see
 * demo.options.ts. Ends with 0, 1 when something was not as promised, 130 on Ctrl-C.
 */
import { rename, writeFile } from 'node:fs/promises';
import { type Fleet, fleetLogs, startFleet, stopFleet } from './demo.fleet.ts';
import { DemoError, type DemoOptions, readOptions } from './demo.options.ts';
import { compressModel, type DemoRun, PROMPT, rollOut, showRefusal } from './demo.steps.ts';
import {
  type DemoSummary,
  deviceTable,
  type RolloutEvidence,
  shortcomings,
  variantEvidence,
  variantTable,
} from './demo.summary.ts';
import { ProgressLines } from './progress.lines.ts';
import { RestClient } from './rest.client.ts';
import { sourceModel } from './source.model.ts';

type Findings = { -readonly [K in keyof DemoSummary]: DemoSummary[K] };

const progress = new ProgressLines();

async function main(): Promise<number> {
  const interrupt = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => interrupt.abort());
  }
  const start = performance.now();
  const findings: Findings = {
    ok: false,
    error: null,
    model: '',
    seconds: 0,
    slowestReadMs: 0,
    variants: [],
    refusal: null,
    rollouts: [],
  };
  let fleet: Fleet | undefined;
  let options: DemoOptions | undefined;
  try {
    options = readOptions();
    const source = await sourceModel(options, progress);
    findings.model = source.name;
    progress.say('starting Redis, Mosquitto, the controller and three agents');
    fleet = await startFleet();
    const run = {
      client: new RestClient(fleet.controller.url),
      progress,
      signal: interrupt.signal,
    };
    await showAll({ run, fleet, findings, source });
    findings.ok = true;
    findings.seconds = (performance.now() - start) / 1000;
    progress.say(`\nEverything above was measured in ${findings.seconds.toFixed(0)} s.`);
    await writeSummary(options, findings);
    if (!options.once) await serveOn(fleet, findings, interrupt.signal);
    return interrupt.signal.aborted && options.once ? 130 : 0;
  } catch (error) {
    if (interrupt.signal.aborted) {
      progress.say('\ninterrupted; stopping everything');
      return 130;
    }
    await tellFailure({ error, fleet, findings });
    findings.seconds = (performance.now() - start) / 1000;
    if (options !== undefined) await writeSummary(options, findings);
    return 1;
  } finally {
    if (fleet !== undefined) await stopFleet(fleet);
  }
}

async function showAll(of: {
  readonly run: DemoRun;
  readonly fleet: Fleet;
  readonly findings: Findings;
  readonly source: Parameters<typeof compressModel>[1];
}): Promise<void> {
  const { run, fleet, findings, source } = of;
  progress.say(`\ncompressing ${source.name} from ${source.path}`);
  const model = await compressModel(run, source);
  findings.slowestReadMs = run.client.slowestReadMs;
  findings.variants = model.status.variants.flatMap(variantEvidence);
  progress.say(`\n${variantTable(findings.variants)}`);
  const worst = findings.variants.find((v) => v.name === 'u4-paper');
  if (worst?.withinBound === false) {
    progress.say(
      `\nWARNING: u4-paper, one scale per tensor, ruins this model: perplexity ` +
        `${worst.perplexity.toFixed(0)} instead of ${worst.sourcePerplexity.toFixed(2)}.`,
    );
    findings.refusal = await showRefusal(run, { model: source.name, variant: 'u4-paper' });
    progress.say(
      `Its rollout is refused (${findings.refusal.reason}): ${findings.refusal.message}`,
    );
  }
  const expected = fleet.agents.map((agent) => agent.name);
  for (const variant of ['u8', 'rd-4.2'] as const) {
    progress.say(`\nrolling out ${variant}: one device first, then the others`);
    const isFirst = findings.rollouts.length === 0;
    const evidence = await rollOut(run, { model, variant, isFirst });
    findings.rollouts = [...findings.rollouts, evidence];
    showRollout(evidence);
    const wrong = shortcomings(evidence, expected);
    if (wrong.length > 0) throw new DemoError('NotAsPromised', `${variant}: ${wrong.join('; ')}`);
  }
  progress.say(
    `\nThe slowest read from the API during compression took ` +
      `${findings.slowestReadMs.toFixed(0)} ms.`,
  );
}

function showRollout(evidence: RolloutEvidence): void {
  progress.say(`\n${deviceTable(evidence)}`);
  for (const device of evidence.devices) {
    const text = device.sample?.replace(/\s+/g, ' ').trim() ?? '';
    progress.say(`  ${device.device} writes: ${PROMPT} ${text.slice(0, 200)}`);
  }
}

async function tellFailure(of: {
  readonly error: unknown;
  readonly fleet: Fleet | undefined;
  readonly findings: Findings;
}): Promise<void> {
  const { error, fleet, findings } = of;
  const reason =
    error instanceof Error && 'reason' in error ? String(error.reason) : 'UnexpectedFailure';
  const message = error instanceof Error ? error.message : String(error);
  findings.error = { reason, message };
  if (fleet !== undefined) progress.say(`\n${await fleetLogs(fleet)}`);
  progress.say(`\nThe demo failed (${reason}): ${message}`);
}

async function serveOn(fleet: Fleet, findings: Findings, signal: AbortSignal): Promise<void> {
  const [agent] = fleet.agents;
  progress.say(`
Swagger         ${fleet.controller.url}/docs
the rollout     ${fleet.controller.url}/api/v1/rollouts/demo
the devices     ${fleet.controller.url}/api/v1/devices
ask ${agent?.name}      curl -N ${agent?.url}/v1/completions -H 'content-type: application/json' \\
                  -d '{"model":"${findings.model}","prompt":"Once upon a time","max_tokens":64,"stream":true}'

Ctrl-C stops everything.`);
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    // Services and their pipes do not keep this process running, so something has to.
    const timer = setInterval(() => {}, 60_000);
    signal.addEventListener('abort', () => {
      clearInterval(timer);
      resolve();
    });
  });
  progress.say('\nstopping everything');
}

async function writeSummary(options: DemoOptions, summary: DemoSummary): Promise<void> {
  if (options.summaryPath === undefined) return;
  const partial = `${options.summaryPath}.partial`;
  await writeFile(partial, `${JSON.stringify(summary, null, 2)}\n`);
  await rename(partial, options.summaryPath);
}

process.exitCode = await main();
