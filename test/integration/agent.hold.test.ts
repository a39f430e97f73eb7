import { setTimeout as sleep } from 'node:timers/promises';
import type { Report, Timeouts } from '@entrofleet/protocol';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { startAgentFromSource } from '../support/agent.process.ts';
import { type EncodedModel, encodeTinyModel } from '../support/encoded.model.ts';
import { ScriptedController } from '../support/scripted.controller.ts';
import { startMosquitto } from '../support/services.ts';
import { slowLink } from '../support/slow.link.ts';

const DEVICE = 'edge-1';
const CHUNK_BYTES = 8192;
const NO_LIMITS: Timeouts = {
  ...{ wholeSeconds: null, downloadSeconds: null, verifySeconds: null },
  ...{ decodeSeconds: null, testSeconds: null, activateSeconds: null },
};

let first: EncodedModel;
let second: EncodedModel;
beforeAll(async () => {
  first = await encodeTinyModel({ model: 'first', seed: 1, chunkSizeBytes: CHUNK_BYTES });
  second = await encodeTinyModel({ model: 'second', seed: 2, chunkSizeBytes: CHUNK_BYTES });
});
afterAll(async () => {
  await first.source.close();
  await second.source.close();
});

const isActive = (model: string) => (report: Report) =>
  report.phase === 'Active' && report.active?.model === model;

async function fleet(environment: Readonly<Record<string, string>> = {}) {
  const broker = await startMosquitto();
  const controller = await ScriptedController.connect(broker.url, DEVICE);
  for (const { target, source } of [first, second]) controller.serve(target.artifact.id, source);
  const agent = await startAgentFromSource({
    ...{ device: DEVICE, mqttUrl: broker.url, environment },
  });
  return { broker, controller, agent };
}

describe('a device that is held', () => {
  it('fetches nothing until it is let, and stops where it is when it is held again', async () => {
    const { controller } = await fleet();
    const { chunkCount } = first.target.artifact;
    await controller.want(first.target, { hold: 'Download' });
    await controller.reported((r) => r.observedRevision === 1 && r.phase === 'Downloading');
    await sleep(500);
    expect(controller.chunksSent).toBe(0);
    controller.allowance = 20;
    await controller.want(first.target);
    await controller.reported((r) => r.download?.chunksHeld === 20);
    await controller.want(first.target, { hold: 'Download' });
    await controller.reported((r) => r.observedRevision === 3);
    controller.allowance = Number.POSITIVE_INFINITY;
    await sleep(500);
    expect(controller.chunksSent).toBe(20);
    await controller.want(first.target);
    const report = await controller.reported(isActive('first'));
    expect(report.observedRevision).toBe(4);
    expect(controller.chunksSent).toBe(chunkCount);
  });

  it('has everything and waits as Staged, holds nothing in memory, then activates', async () => {
    const { controller, agent } = await fleet();
    await controller.want(first.target);
    await controller.reported(isActive('first'));
    await controller.want(second.target, { hold: 'Activation' });
    const staged = await controller.reported((r) => r.phase === 'Staged');
    expect(staged.active?.model).toBe('first');
    expect(await agent.process.logTail(100)).not.toContain('of second u8 were packed');
    await controller.want(second.target);
    const report = await controller.reported(isActive('second'));
    expect(report.baseline?.artifactId).toBe(first.target.artifact.id);
    expect(report.measurement).toMatchObject({ artifactId: second.target.artifact.id });
    expect(report.measurement?.p95TokenSeconds).toBeGreaterThan(0);
    expect(report.measurement?.perplexity).toBeGreaterThan(1);
    expect(report.capabilities.readBytesPerSecond).toBeGreaterThan(0);
    expect(report.capabilities.linkBytesPerSecond).toBeGreaterThan(0);
  });
});

it('a download that takes longer than it may fails; the model before it serves', async () => {
  const { controller } = await fleet();
  await controller.want(first.target);
  await controller.reported(isActive('first'));
  controller.allowance = 5;
  await controller.want(second.target, { timeouts: { ...NO_LIMITS, downloadSeconds: 1 } });
  const failed = await controller.reported((r) => r.phase === 'Failed');
  expect(failed).toMatchObject({
    error: { reason: 'DownloadTimedOut' },
    active: { model: 'first' },
  });
});

it('after a long time offline goes to what is wanted then, and tells its news in order', async () => {
  const broker = await startMosquitto();
  const toPort = Number(new URL(broker.url).port);
  const controller = await ScriptedController.connect(broker.url, DEVICE);
  for (const { target, source } of [first, second]) controller.serve(target.artifact.id, source);
  const link = await slowLink({ toPort, bytesPerSecond: Number.POSITIVE_INFINITY });
  const agent = await startAgentFromSource({ device: DEVICE, mqttUrl: link.url });
  await controller.want(first.target);
  const before = await controller.reported(isActive('first'));
  await link.close();
  await agent.process.kill9();
  await agent.process.start();
  await vi.waitFor(async () => {
    const response = await fetch(`${agent.url}/v1/models`);
    expect(((await response.json()) as { data: unknown[] }).data).toHaveLength(1);
  }, 20_000);
  await sleep(500);
  controller.reports.length = 0;
  for (const target of [second.target, first.target, second.target]) await controller.want(target);
  const port = Number(new URL(link.url).port);
  const again = await slowLink({ toPort, bytesPerSecond: Number.POSITIVE_INFINITY, port });
  onTestFinished(() => again.close());
  await controller.reported(isActive('second'), 60_000);
  const order = controller.reports.map(({ boot, sequence }) => boot * 1e6 + sequence);
  expect(order).toEqual([...order].sort((a, b) => a - b));
  expect(controller.reports[0]).toMatchObject({ boot: before.boot + 1, sequence: 1 });
});
