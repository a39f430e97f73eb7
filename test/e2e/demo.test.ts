import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DemoSummary } from '../../deploy/demo/demo.summary.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { eventually } from '../support/eventually.ts';
import { commandLines } from '../support/processes.ts';

const DEMO = resolve(import.meta.dirname, '../../deploy/demo/demo.ts');
const TIMEOUT_MS = 300_000;
const DEVICES = ['edge-1', 'edge-2', 'edge-3'];

/** From ../shared/models/README.md: all 2-D tensors, first 32 rows. */
const PAPER_U8 = { bitsPerWeight: 5.66, perplexity: 2.863 };

let scratch: string;
let demo: ChildProcess | undefined;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'entrofleet-e2e-'));
});
afterEach(async () => {
  demo?.kill('SIGKILL');
  await rm(scratch, { recursive: true, force: true, maxRetries: 10 });
});

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Starts the demo; `ended` is its exit status and all it has printed. */
function startDemo(environment: Record<string, string>): {
  ended: Promise<Ended>;
  printed: () => string;
} {
  const child = spawn(process.execPath, [DEMO], {
    // What it makes goes below a folder of this test, so that leftovers are seen.
    env: { ...process.env, TMPDIR: scratch, MODEL: '', ONCE: '1', DEMO_JSON: '', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  demo = child;
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const ended = once(child, 'close').then(() => ({ code: child.exitCode, output }));
  return { ended, printed: () => output };
}

async function summaryAt(path: string): Promise<DemoSummary> {
  return JSON.parse(await readFile(path, 'utf8'));
}

/** Neither folders nor processes of the demo are there any more. */
async function expectNothingLeft(): Promise<void> {
  await eventually('processes end', async () => {
    const lines = [...(await commandLines()).values()];
    return lines.some((line) => line.includes(`${scratch}/entrofleet-`)) ? undefined : true;
  });
  await eventually('temporary folders are removed', async () => {
    const names = await readdir(scratch);
    return names.some((name) => name.startsWith('entrofleet-')) ? undefined : true;
  });
}

describe('the demo with the default model', () => {
  test(
    'takes a checkpoint to three devices that write English and report their throughput',
    async () => {
      // given
      const summaryPath = join(scratch, 'summary.json');
      // when
      const { code, output } = await startDemo({ DEMO_JSON: summaryPath }).ended;
      // then
      expect(code, output).toBe(0);
      const summary = await summaryAt(summaryPath);
      expect(summary).toMatchObject({ ok: true, error: null, model: 'stories15m' });
      expectVariants(summary);
      expectRefusal(summary, output);
      expect(summary.rollouts.map((r) => r.variant)).toEqual(['u8', 'rd-4.2']);
      for (const rollout of summary.rollouts) expectRollout(rollout, summary);
      expect(output).toMatch(/^variant +bytes +bits\/weight/m);
      expect(output).toMatch(/^device +wave +state +bytes received/m);
      await expectNothingLeft();
    },
    TIMEOUT_MS,
  );
});

function expectVariants(summary: DemoSummary): void {
  expect(summary.variants.map((v) => v.name)).toEqual(['u8', 'u4-paper', 'rd-4.2']);
  const [u8, u4, rd] = summary.variants;
  expect(u8?.withinBound).toBe(true);
  expect(Math.abs((u8?.entropyBitsPerWeight ?? 0) / PAPER_U8.bitsPerWeight - 1)).toBeLessThan(0.02);
  expect(u8?.bitsPerWeight).toBeGreaterThanOrEqual(u8?.entropyBitsPerWeight ?? 0);
  expect(u8?.perplexity ?? 0).toBeLessThan((u8?.sourcePerplexity ?? 0) * 1.02);
  expect(u4?.withinBound).toBe(false);
  expect(u4?.perplexity).toBeGreaterThan(100);
  expect(rd?.withinBound).toBe(true);
  expect(rd?.entropyBitsPerWeight).toBeCloseTo(4.2, 1);
  expect(rd?.sizeBytes).toBeLessThan(u8?.sizeBytes ?? 0);
}

function expectRefusal(summary: DemoSummary, output: string): void {
  expect(summary.refusal).toMatchObject({ variant: 'u4-paper', reason: 'PerplexityBeyondBound' });
  expect(summary.refusal?.message).toContain('spec.force');
  expect(output).toContain('WARNING: u4-paper');
}

function expectRollout(rollout: DemoSummary['rollouts'][number], summary: DemoSummary): void {
  const variant = summary.variants.find((v) => v.name === rollout.variant);
  expect(rollout.artifactId).toMatch(/^[0-9a-f]{64}$/);
  expect(rollout.devices.map((d) => d.device).sort()).toEqual(DEVICES);
  expect(rollout.devices.map((d) => d.wave).sort()).toEqual([0, 1, 1]);
  for (const device of rollout.devices) {
    expect(device).toMatchObject({ state: 'Active', artifactId: rollout.artifactId });
    expect(device.perplexity).toBe(variant?.perplexity);
    expect(device.bytesReceived).toBeGreaterThan(0);
    expect(device.bytesReceived).toBeLessThanOrEqual(variant?.sizeBytes ?? 0);
    expect(device.decodeGigabytesPerSecond).toBeGreaterThan(0);
    expect(device.prefillTokensPerSecond).toBeGreaterThan(0);
    expect(device.decodeTokensPerSecond).toBeGreaterThan(0);
    expect(device.phaseSeconds).toHaveProperty('Downloading');
    // The stories are about small things that happen to somebody: no English goes without these.
    expect(device.sample?.toLowerCase()).toMatch(/\b(was|is|had)\b/);
    expect(device.sample?.toLowerCase()).toMatch(/\b(she|the|a)\b/);
  }
}

describe('the demo with a model of the user', () => {
  test('names the missing config.json of a wrong MODEL', async () => {
    const { code, output } = await startDemo({ MODEL: join(scratch, 'nowhere') }).ended;
    expect(code).toBe(1);
    expect(output).toContain('NoModel');
    expect(output).toContain('config.json');
    await expectNothingLeft();
  });

  test('tells why a checkpoint cannot be compressed', async () => {
    // given a checkpoint whose architecture nobody knows
    const model = await writeTinyCheckpoint(join(scratch, 'unknown'));
    const config = JSON.parse(await readFile(join(model, 'config.json'), 'utf8'));
    await writeFile(
      join(model, 'config.json'),
      JSON.stringify({
        ...config,
        architectures: ['PerceptronForEverything'],
        model_type: 'perceptron',
      }),
    );
    const summaryPath = join(scratch, 'summary.json');
    // when
    const { code, output } = await startDemo({ MODEL: model, DEMO_JSON: summaryPath }).ended;
    // then
    expect(code).toBe(1);
    expect(output).toContain('"perceptron" is not supported');
    expect((await summaryAt(summaryPath)).error?.message).toContain(
      '"perceptron" is not supported',
    );
    await expectNothingLeft();
  });

  test.each([
    ['SIGINT', 130],
    ['SIGKILL', null],
  ] as const)('leaves nothing behind when it gets %s half-way', async (signal, status) => {
    // given
    const model = await writeTinyCheckpoint(join(scratch, 'tiny'));
    const { ended, printed } = startDemo({ MODEL: model });
    await eventually('the demo compresses', () =>
      printed().includes('compressing') ? true : undefined,
    );
    // when
    demo?.kill(signal);
    // then
    expect((await ended).code).toBe(status);
    await expectNothingLeft();
  });
});
