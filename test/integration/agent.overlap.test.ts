import { open, rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Report } from '@entrofleet/protocol';
import { Bitmap } from '@entrofleet/protocol';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { HeldChunks } from '../../apps/agent/src/held.chunks.ts';
import { type LoadTarget, loadArtifact } from '../../apps/agent/src/loaded.model.ts';
import { chunkTable, openArtifact, parseHeader } from '../../libs/artifact/src/index.ts';
import { scratchFolder } from '../fixtures/scratch.folder.ts';
import { startAgentFromSource } from '../support/agent.process.ts';
import { type EncodedModel, encodeTinyModel } from '../support/encoded.model.ts';
import { ScriptedController } from '../support/scripted.controller.ts';
import { startMosquitto } from '../support/services.ts';
import { slowLink } from '../support/slow.link.ts';

const DEVICE = 'edge-1';
const CHUNK_BYTES = 8192;
/** Fast enough for a test, slow enough that chunks come one by one. */
const LINK_BYTES_PER_SECOND = 400_000;

let model: EncodedModel;
beforeAll(async () => {
  model = await encodeTinyModel({ model: 'first', seed: 1, chunkSizeBytes: CHUNK_BYTES });
});
afterAll(() => model.source.close());

const isActive = (report: Report) => report.phase === 'Active';

describe('a model loaded while its file is being filled', () => {
  const LIMITS = { sequences: 1, keyValueBytes: null };

  function loadOf(path: string, signal = new AbortController().signal): LoadTarget {
    const { target } = model;
    return { target, path, threads: 2, limits: LIMITS, budgetBytes: undefined, signal };
  }

  async function logitsOf(use: LoadTarget): Promise<Float32Array> {
    const loaded = await loadArtifact(use);
    try {
      return await loaded.language.createSession(16).append([1, 2, 3, 4]);
    } finally {
      loaded.close();
    }
  }

  /** A file as a download makes it, to which chunks come in the order given. */
  async function filling() {
    const { artifact } = model.target;
    const path = join(await scratchFolder(), 'partial');
    await writeFile(path, '');
    await truncate(path, artifact.sizeBytes);
    const file = await open(path, 'r+');
    onTestFinished(() => file.close());
    const held = new Bitmap(artifact.chunkCount);
    const arrivals = new HeldChunks(held);
    const header: Uint8Array[] = [];
    for (const index of artifact.headerChunks.keys()) header.push(await model.source.read(index));
    const table = chunkTable(parseHeader(Buffer.concat(header)));
    const claim = (index: number) => {
      held.add(index);
      arrivals.grown();
    };
    const arrive = async (index: number) => {
      await file.write(await model.source.read(index), 0, null, table[index]?.offset);
      claim(index);
    };
    for (const index of artifact.headerChunks.keys()) await arrive(index);
    const payload = table.map(({ index }) => index).slice(artifact.headerChunks.length);
    return { path, arrivals, arrive, claim, payload };
  }

  it('is the same in whatever order its chunks come', async () => {
    const whole = join(await scratchFolder(), 'whole');
    const { path, arrive, payload } = await filling();
    for (const index of payload) await arrive(index);
    await rename(path, whole);
    const expected = await logitsOf(loadOf(whole));
    const reader = await openArtifact(whole);
    const matrices = reader.codedMatrices.length;
    await reader.close();
    const shuffled = fc.shuffledSubarray(payload, {
      minLength: payload.length,
      maxLength: payload.length,
    });
    await fc.assert(
      fc.asyncProperty(shuffled, async (order) => {
        const file = await filling();
        const packed: number[] = [];
        const arriving = {
          arrivals: file.arrivals,
          onPacked: ({ matricesPacked }: { matricesPacked: number }) => packed.push(matricesPacked),
        };
        const loading = logitsOf({ ...loadOf(file.path), arriving });
        for (const index of order) await file.arrive(index);
        expect(await loading).toEqual(expected);
        expect(packed.at(-1)).toBe(matrices);
      }),
      { numRuns: 4 },
    );
  });

  it('has packed all it can before the last chunk, and ends when no more come', async () => {
    const { path, arrivals, arrive, payload } = await filling();
    let packed = { matricesPacked: 0, matricesTotal: 0 };
    const onPacked = (progress: typeof packed) => {
      packed = progress;
    };
    const loading = loadArtifact({ ...loadOf(path), arriving: { arrivals, onPacked } });
    const outcome = loading.then(
      () => 'loaded',
      (error: Error) => error.message,
    );
    for (const index of payload.slice(0, -1)) await arrive(index);
    await vi.waitFor(() => expect(packed.matricesPacked).toBeGreaterThan(10));
    arrivals.end(new Error('the download has ended'));
    expect(await outcome).toBe('the download has ended');
  });

  it('is not begun where its windows do not fit beside what runs', async () => {
    const { path, arrivals } = await filling();
    const arriving = { arrivals, onPacked: () => {} };
    await expect(
      loadArtifact({ ...loadOf(path), budgetBytes: 1000, arriving }),
    ).rejects.toMatchObject({ reason: 'OutOfMemory' });
  });

  it('is verified as it is read: a chunk that is claimed but not there ends it', async () => {
    const { path, arrivals, arrive, claim, payload } = await filling();
    const lacking = payload[Math.floor(payload.length / 2)];
    const loading = loadArtifact({ ...loadOf(path), arriving: { arrivals, onPacked: () => {} } });
    const failed = expect(loading).rejects.toThrow('does not have its SHA-256');
    for (const index of payload) await (index === lacking ? claim(index) : arrive(index));
    await failed;
  });
});

describe('an update over a slow link', () => {
  it('has packed matrices before the last chunk came, and serves right after it', async () => {
    const broker = await startMosquitto();
    const link = await slowLink({
      toPort: Number(new URL(broker.url).port),
      bytesPerSecond: LINK_BYTES_PER_SECOND,
    });
    onTestFinished(() => link.close());
    const controller = await ScriptedController.connect(broker.url, DEVICE);
    controller.serve(model.target.artifact.id, model.source);
    const { chunkCount } = model.target.artifact;
    controller.allowance = chunkCount - 1;
    const agent = await startAgentFromSource({
      device: DEVICE,
      mqttUrl: link.url,
      environment: { LOG_LEVEL: 'debug' },
    });
    await controller.want(model.target);
    await controller.reported((r) => r.download?.chunksHeld === chunkCount - 1);
    const log = () => agent.process.logTail(200);
    await vi.waitFor(
      async () => expect(await log()).toMatch(/\d\d of \d+ matrices of first u8 are packed/),
      10_000,
    );
    expect(controller.reports.at(-1)?.phase).toBe('Downloading');
    expect(await log()).not.toContain('Verifying');
    controller.allowance = Number.POSITIVE_INFINITY;
    const report = await controller.reported(isActive);
    expect(report.error).toBeNull();
    const lines = (await log()).split('\n');
    const at = (text: string) => lines.findIndex((line) => line.includes(text));
    expect(at('matrices of first u8 are packed')).toBeGreaterThan(at('-> Downloading'));
    expect(at('matrices of first u8 are packed')).toBeLessThan(at('-> Verifying'));
    expect(at('were packed before its last chunk came')).toBeGreaterThan(0);
    expect(report.measurement?.loadSeconds).toBeLessThan(report.phaseSeconds.Downloading ?? 0);
  });

  it('that is abandoned lets go of what was loaded, and the next one is loaded', async () => {
    const other = await encodeTinyModel({ model: 'second', seed: 2, chunkSizeBytes: CHUNK_BYTES });
    onTestFinished(() => other.source.close());
    const broker = await startMosquitto();
    const controller = await ScriptedController.connect(broker.url, DEVICE);
    for (const { target, source } of [model, other]) controller.serve(target.artifact.id, source);
    const { chunkCount } = model.target.artifact;
    controller.allowance = chunkCount - 1;
    const agent = await startAgentFromSource({ device: DEVICE, mqttUrl: broker.url });
    await controller.want(model.target);
    await controller.reported((r) => r.download?.chunksHeld === chunkCount - 1);
    controller.allowance = Number.POSITIVE_INFINITY;
    await controller.want(other.target);
    const report = await controller.reported(isActive);
    expect(report.active?.model).toBe('second');
    expect(await agent.process.logTail(200)).not.toContain('of first u8 were packed');
  });

  it('after kill -9 in mid-download is loaded when all is here, and serves', async () => {
    const broker = await startMosquitto();
    const controller = await ScriptedController.connect(broker.url, DEVICE);
    controller.serve(model.target.artifact.id, model.source);
    const { chunkCount } = model.target.artifact;
    controller.allowance = chunkCount - 1;
    const agent = await startAgentFromSource({ device: DEVICE, mqttUrl: broker.url });
    await controller.want(model.target);
    await controller.reported((r) => r.download?.chunksHeld === chunkCount - 1);
    await agent.process.kill9();
    controller.allowance = Number.POSITIVE_INFINITY;
    await agent.process.start();
    expect((await controller.reported(isActive)).active?.model).toBe('first');
    expect(await agent.process.logTail(200)).not.toContain('were packed before');
  });
});
