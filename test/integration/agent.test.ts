import { setTimeout as sleep } from 'node:timers/promises';
import type { Report } from '@entrofleet/protocol';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startAgentFromSource } from '../support/agent.process.ts';
import { type EncodedModel, encodeTinyModel } from '../support/encoded.model.ts';
import { ScriptedController } from '../support/scripted.controller.ts';
import { startMosquitto } from '../support/services.ts';

const DEVICE = 'edge-1';
const CHUNK_BYTES = 8192;
const WINDOW = 16;

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

const isActive = (encoded: EncodedModel) => (report: Report) =>
  report.phase === 'Active' && report.active?.artifactId === encoded.target.artifact.id;

async function fleet(environment: Readonly<Record<string, string>> = {}) {
  const broker = await startMosquitto();
  const controller = await ScriptedController.connect(broker.url, DEVICE);
  for (const { target, source } of [first, second]) controller.serve(target.artifact.id, source);
  const agent = await startAgentFromSource({
    device: DEVICE,
    mqttUrl: broker.url,
    environment: { WINDOW_CHUNKS: String(WINDOW), ...environment },
  });
  return { broker, controller, agent };
}

async function completion(url: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'once upon', max_tokens: 4, temperature: 0 }),
  });
  return { status: response.status, body: await response.json() };
}

describe('an update', () => {
  it('fetches, proves and serves a model, and reports what it measured', async () => {
    const { controller, agent } = await fleet();
    expect((await completion(agent.url)).status).toBe(503);
    await controller.want(first.target);
    const report = await controller.reported(isActive(first));
    const ref = first.target.artifact;
    expect(report).toMatchObject({
      labels: { site: 'test' },
      observedRevision: 1,
      error: null,
      endpoint: agent.url,
      download: { chunksHeld: ref.chunkCount, bytesReceived: ref.sizeBytes, chunksCorrupt: 0 },
      sample: { prompt: 'once upon a time' },
      measurement: { kind: 'Activation', artifactId: ref.id, threads: 2 },
    });
    expect(report.sample?.text.length).toBeGreaterThan(10);
    expect(report.measurement?.prefillTokensPerSecond).toBeGreaterThan(0);
    expect(report.measurement?.decodeTokensPerSecond).toBeGreaterThan(0);
    expect(report.measurement?.entropyDecodeGigabytesPerSecond).toBeGreaterThan(0);
    expect(report.measurement?.fingerprintDeviation).toBeLessThan(1e-3);
    const answer = await completion(agent.url);
    expect(answer).toMatchObject({ status: 200, body: { usage: { completion_tokens: 4 } } });
  });

  it('lets the old model serve until the new one has proved itself', async () => {
    const { controller, agent } = await fleet();
    await controller.want(first.target);
    await controller.reported(isActive(first));
    const { fingerprint } = second.target.probe;
    const logits = fingerprint.logits.map((logit) => logit + 1);
    const probe = { ...second.target.probe, fingerprint: { ...fingerprint, logits } };
    await controller.want({ ...second.target, probe });
    const failed = await controller.reported((r) => r.phase === 'Failed');
    expect(failed.error?.reason).toBe('FingerprintMismatch');
    expect(failed.active?.model).toBe('first');
    expect((await completion(agent.url)).body).toMatchObject({ model: 'first:u8' });
    await controller.want(second.target);
    const report = await controller.reported(isActive(second));
    expect(report.error).toBeNull();
    expect((await completion(agent.url)).body).toMatchObject({ model: 'second:u8' });
  });

  it('that does not fit says why, with the arithmetic, and fetches nothing', async () => {
    const { controller } = await fleet();
    await controller.want({ ...first.target, kvCacheBytes: 2 ** 45 });
    const failed = await controller.reported((r) => r.phase === 'Failed');
    expect(failed.error?.reason).toBe('DoesNotFit');
    expect(failed.error?.message).toMatch(/MiB of KV cache = .* MiB, but .* MiB are available/);
    expect(controller.chunksSent).toBe(0);
  });

  it('that does not fit the disk says so', async () => {
    const { controller } = await fleet({ DISK_MARGIN_MIB: String(1024 * 1024) });
    await controller.want(first.target);
    const failed = await controller.reported((r) => r.phase === 'Failed');
    expect(failed.error?.reason).toBe('DiskFull');
  });
});

describe('kill -9', () => {
  it('in mid-download costs at most the chunks in flight', async () => {
    const { controller, agent } = await fleet();
    const { chunkCount, sizeBytes, chunkSizeBytes } = first.target.artifact;
    controller.allowance = Math.floor(chunkCount / 2);
    await controller.want(first.target);
    await controller.reported((r) => (r.download?.chunksHeld ?? 0) >= controller.chunksSent - 1);
    await agent.process.kill9();
    controller.allowance = Number.POSITIVE_INFINITY;
    await agent.process.start();
    const report = await controller.reported(isActive(first));
    expect(controller.chunksSent).toBeLessThanOrEqual(chunkCount + WINDOW);
    expect(report.download?.bytesReceived).toBeLessThanOrEqual(sizeBytes + WINDOW * chunkSizeBytes);
    expect(report.download?.bytesReceived).toBeGreaterThan(0);
  });

  it('of a serving agent: it serves again from its disk while the broker is away', async () => {
    const { broker, controller, agent } = await fleet({ REPORT_INTERVAL_SECONDS: '1' });
    await controller.want(first.target);
    const before = await controller.reported(isActive(first));
    await agent.process.kill9();
    await broker.stop();
    await agent.process.start();
    await vi.waitFor(async () => expect((await completion(agent.url)).status).toBe(200), 20_000);
    controller.reports.length = 0;
    await broker.restart();
    const report = await controller.reported(isActive(first), 60_000);
    expect(report.boot).toBe(before.boot + 1);
    expect(report.measurement?.artifactId).toBe(first.target.artifact.id);
  });

  it('at any moment of an update converges to the new model, serving all the while', async () => {
    const { controller, agent } = await fleet();
    await controller.want(first.target);
    await controller.reported(isActive(first));
    await controller.want(second.target);
    for (const delayMs of [20, 120, 250]) {
      await sleep(delayMs);
      await agent.process.kill9();
      await agent.process.start();
      await vi.waitFor(async () => expect((await completion(agent.url)).status).toBe(200), 20_000);
    }
    await controller.reported(isActive(second));
    expect((await completion(agent.url)).body).toMatchObject({ model: 'second:u8' });
  });
});

it('a second agent on the same folder ends with code 3 and says why', async () => {
  const { broker, agent } = await fleet();
  const again = startAgentFromSource({
    device: 'edge-2',
    mqttUrl: broker.url,
    folder: agent.folder,
  });
  await expect(again).rejects.toThrow(/DataFolderInUse: another agent \(process \d+\)/);
});

it('SIGTERM ends it in order; nothing counts as a crash', async () => {
  const { controller, agent } = await fleet();
  await controller.want(first.target);
  await controller.reported(isActive(first));
  await agent.process.stop();
  expect(await agent.process.logTail(5)).toContain('SIGTERM: ending');
});
