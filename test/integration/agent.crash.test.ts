import { cp } from 'node:fs/promises';
import { phaseSchema, type Report, type Target } from '@entrofleet/protocol';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { type AgentProcess, startAgentFromSource } from '../support/agent.process.ts';
import { type EncodedModel, encodeTinyModel } from '../support/encoded.model.ts';
import { ScriptedController } from '../support/scripted.controller.ts';
import { type PrivateService, startMosquitto } from '../support/services.ts';

const DEVICE = 'edge-1';
const CHUNK_BYTES = 8192;
const KILL_POINT = new URL('../support/kill.point.ts', import.meta.url).href;
const CRASHES_MAX = 3;
/** Further rounds kill at other moments: `make chaos-agent` asks for 20. */
const ROUNDS = Number(process.env.ROUNDS ?? 2);
const DEATH_TIMEOUT_MS = 30_000;
/** Steps of a tiny model take some tens of milliseconds. */
const STEP_MS = 60;

type State = (typeof phaseSchema.options)[number];

let first: EncodedModel;
let second: EncodedModel;
let settled: Promise<string> | undefined;

beforeAll(async () => {
  first = await encodeTinyModel({ model: 'first', seed: 1, chunkSizeBytes: CHUNK_BYTES });
  second = await encodeTinyModel({ model: 'second', seed: 2, chunkSizeBytes: CHUNK_BYTES });
});
afterAll(async () => {
  await first.source.close();
  await second.source.close();
});

interface Fleet {
  readonly broker: PrivateService;
  readonly controller: ScriptedController;
}

async function fleet(): Promise<Fleet> {
  const broker = await startMosquitto();
  const controller = await ScriptedController.connect(broker.url, DEVICE);
  for (const { target, source } of [first, second]) controller.serve(target.artifact.id, source);
  return { broker, controller };
}

/** A copy of the folder of a device that serves the first model. */
async function settledFolder(): Promise<string> {
  settled ??= settle();
  const folder = await temporaryFolder('device');
  await cp(await settled, folder, { recursive: true });
  return folder;
}

async function settle(): Promise<string> {
  const { broker, controller } = await fleet();
  const folder = await temporaryFolder('settled');
  const agent = await startAgentFromSource({ device: DEVICE, mqttUrl: broker.url, folder });
  await controller.want(first.target);
  await controller.reported(isOf('first'));
  await agent.process.stop();
  return folder;
}

/** Waits until an agent answers requests. @returns the name of the model. */
function served(agent: AgentProcess): Promise<string> {
  const body = JSON.stringify({ prompt: 'once', max_tokens: 1, temperature: 0 });
  return vi.waitFor(
    async () => {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`${agent.url}/v1/completions`, {
        method: 'POST',
        headers,
        body,
      });
      expect(response.status).toBe(200);
      return ((await response.json()) as { model: string }).model;
    },
    { timeout: 30_000, interval: 50 },
  );
}

/** Runs an agent until it dies in a state of the update to a model. */
async function dieIn(
  use: { broker: PrivateService; folder: string },
  place: { state: State; model: string; afterMs: number },
): Promise<void> {
  const doomed = await startAgentFromSource({
    ...{ device: DEVICE, mqttUrl: use.broker.url, folder: use.folder },
    imports: [KILL_POINT],
    isDoomed: true,
    environment: {
      KILL_STATE: place.state,
      KILL_MODEL: place.model,
      KILL_AFTER_MS: String(place.afterMs),
      STALL_MS: '100',
    },
  });
  const timer = setTimeout(() => void doomed.process.kill9(), DEATH_TIMEOUT_MS);
  const diedAt = performance.now();
  await doomed.process.exited();
  clearTimeout(timer);
  expect(performance.now() - diedAt, `did not come to ${place.state}`).toBeLessThan(
    DEATH_TIMEOUT_MS,
  );
}

/** What the controller wants for a device to pass through a state or to end in it. */
function wishFor(state: State): { target: Target; hold?: 'Activation' } {
  if (state === 'Staged') return { target: second.target, hold: 'Activation' };
  if (state !== 'Failed') return { target: second.target };
  const { probe } = second.target;
  const logits = probe.fingerprint.logits.map((logit) => logit + 1);
  const fingerprint = { ...probe.fingerprint, logits };
  return { target: { ...second.target, probe: { ...probe, fingerprint } } };
}

/** Before the journal is written, right after it, and then at any time of the step. */
function momentOf(round: number): number {
  if (round < 2) return round - 1;
  return 1 + Math.floor(Math.random() * STEP_MS);
}

const isOf = (model: string) => (report: Report) =>
  report.phase === 'Active' && report.active?.model === model;

describe('kill -9 in every state', () => {
  const rounds = [...Array(ROUNDS).keys()];
  for (const state of phaseSchema.options.filter((s) => s !== 'Idle')) {
    it.each(rounds)(`${state}, round %i`, async (round) => {
      const { broker, controller } = await fleet();
      const folder = await settledFolder();
      await controller.want(first.target);
      const { target, hold } = wishFor(state);
      await controller.want(target, hold === undefined ? {} : { hold });
      const place = { state, model: 'second', afterMs: momentOf(round) };
      await dieIn({ broker, folder }, place);
      controller.reports.length = 0;
      const agent = await startAgentFromSource({
        ...{ device: DEVICE, mqttUrl: broker.url, folder },
      });
      expect(['first:u8', 'second:u8'], JSON.stringify(place)).toContain(await served(agent));
      if (state === 'Failed') {
        await controller.reported((r) => r.phase === 'Failed' && r.active?.model === 'first');
        expect(await served(agent)).toBe('first:u8');
        return;
      }
      if (state === 'Staged') {
        await controller.reported((r) => r.phase === 'Staged' && r.active?.model === 'first');
        expect(await served(agent)).toBe('first:u8');
        await controller.want(target);
      }
      await controller.reported(isOf('second'));
      expect(await served(agent)).toBe('second:u8');
    });
  }

  it.each(rounds)('Idle, round %i', async (round) => {
    const { broker, controller } = await fleet();
    const folder = await temporaryFolder('device');
    await dieIn({ broker, folder }, { state: 'Idle', model: 'none', afterMs: momentOf(round) });
    const agent = await startAgentFromSource({
      ...{ device: DEVICE, mqttUrl: broker.url, folder },
    });
    await controller.want(first.target);
    await controller.reported(isOf('first'));
    expect(await served(agent)).toBe('first:u8');
  });

  it.each(['Decoding', 'Testing', 'Activating', 'Active'] as const)(
    'again and again in %s: the model before serves, and the controller is told why',
    async (state) => {
      const { broker, controller } = await fleet();
      const folder = await settledFolder();
      await controller.want(first.target);
      await controller.want(second.target);
      for (let crash = 0; crash < CRASHES_MAX; crash++) {
        await dieIn({ broker, folder }, { state, model: 'second', afterMs: 0 });
      }
      const agent = await startAgentFromSource({
        ...{ device: DEVICE, mqttUrl: broker.url, folder },
      });
      expect(await served(agent)).toBe('first:u8');
      const report = await controller.reported((r) => r.phase === 'Failed' && r.active !== null);
      expect(report).toMatchObject({ error: { reason: 'CrashLoop' }, active: { model: 'first' } });
      const rolledBack =
        state === 'Active' ? { reason: 'CrashLoop', from: { model: 'second' } } : null;
      if (rolledBack === null) expect(report.rolledBack).toBeNull();
      else expect(report.rolledBack).toMatchObject(rolledBack);
      await controller.want(second.target, { attempt: 1 });
      await controller.reported(isOf('second'));
    },
  );
});
