import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Report } from '@entrofleet/protocol';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { startAgentFromSource } from '../support/agent.process.ts';
import { type EncodedModel, encodeTinyModel } from '../support/encoded.model.ts';
import { ScriptedController } from '../support/scripted.controller.ts';
import { startMosquitto } from '../support/services.ts';

const DEVICE = 'edge-1';
const CHUNK_BYTES = 8192;
const FAILING = new URL('../support/failing.requests.ts', import.meta.url).href;

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
  const flag = join(await temporaryFolder('flag'), 'fail');
  const broker = await startMosquitto();
  const controller = await ScriptedController.connect(broker.url, DEVICE);
  for (const { target, source } of [first, second]) controller.serve(target.artifact.id, source);
  const agent = await startAgentFromSource({
    ...{ device: DEVICE, mqttUrl: broker.url, imports: [FAILING] },
    environment: { FAIL_WHILE: flag, ...environment },
  });
  await controller.want(first.target);
  await controller.reported(isActive('first'));
  await controller.want(second.target);
  await controller.reported(isActive('second'));
  const ask = async () => {
    const body = JSON.stringify({ prompt: 'once', max_tokens: 1, temperature: 0 });
    const headers = { 'content-type': 'application/json' };
    const url = `${agent.url}/v1/completions`;
    const response = await fetch(url, { method: 'POST', headers, body });
    const { model } = (await response.json()) as { model?: string };
    return response.ok ? model : response.status;
  };
  return { controller, agent, flag, ask };
}

it('a new model that fails requests is given up for the one before it, without a word from anyone', async () => {
  const { controller, flag, ask } = await fleet();
  expect(await ask()).toBe('second:u8');
  await writeFile(flag, '');
  for (let i = 0; i < 3; i++) expect(await ask()).toBe(500);
  await rm(flag);
  const report = await controller.reported((r) => r.rolledBack != null && r.active !== null);
  expect(report).toMatchObject({
    phase: 'Failed',
    error: { reason: 'ServingFailed' },
    rolledBack: { reason: 'ServingFailed', from: { model: 'second' } },
  });
  const back = await controller.reported(
    (r) => r.rolledBack != null && r.active?.model === 'first',
  );
  expect(back.measurement?.artifactId).toBe(first.target.artifact.id);
  expect(await ask()).toBe('first:u8');
});

it('a model that has passed its trial stays, whatever its requests meet', async () => {
  const { controller, agent, flag, ask } = await fleet({ TRIAL_SECONDS: '1' });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await writeFile(flag, '');
  for (let i = 0; i < 5; i++) expect(await ask()).toBe(500);
  await rm(flag);
  expect(await ask()).toBe('second:u8');
  expect(controller.reports.at(-1)?.rolledBack).toBeNull();
  expect(await agent.process.logTail(50)).not.toContain('ServingFailed:');
});
