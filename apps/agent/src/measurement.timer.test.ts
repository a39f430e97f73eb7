import { expect, it, onTestFinished } from 'vitest';
import { referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import type { Agent } from './agent.ts';
import { createLog } from './log.ts';
import { MeasurementTimer } from './measurement.timer.ts';
import { ModelSlot } from './serve/model.slot.ts';
import type { HeldModel } from './serve/served.model.ts';
import type { SelfTestResult, TestContext } from './update.steps.ts';

const MODEL: HeldModel = {
  target: targetOf(referenceOf('a')),
  close: () => undefined,
};

const RESULT = { measurement: { kind: 'Periodic' }, sample: null } as unknown as SelfTestResult;

function prepare(test: (context: TestContext) => Promise<SelfTestResult> = async () => RESULT) {
  const slot = new ModelSlot<HeldModel>();
  slot.switchTo(MODEL);
  const measured: SelfTestResult[] = [];
  const agent = { working: false, measured: (result: SelfTestResult) => measured.push(result) };
  const timer = new MeasurementTimer<HeldModel>({
    agent: agent as unknown as Agent<HeldModel>,
    slot,
    steps: { test: (_, context) => test(context) },
    log: createLog('error', () => undefined),
    intervalMs: 1_000_000,
  });
  onTestFinished(() => timer.stop());
  return { slot, agent, measured, timer };
}

it('measures the model that serves, as periodic', async () => {
  const kinds: string[] = [];
  const { timer, measured, slot } = prepare(async ({ kind }) => {
    kinds.push(kind);
    return RESULT;
  });
  await timer.measure();
  expect(kinds).toEqual(['Periodic']);
  expect(measured).toEqual([RESULT]);
  expect(slot.leases).toBe(0);
});

it('does not measure while a request runs, an update works, or no model serves', async () => {
  const { timer, measured, slot, agent } = prepare();
  const lease = slot.acquire();
  await timer.measure();
  lease?.release();
  agent.working = true;
  await timer.measure();
  agent.working = false;
  slot.switchTo(null);
  await timer.measure();
  expect(measured).toEqual([]);
});

it('drops the figures of a model that was replaced meanwhile, and survives a failure', async () => {
  const { timer, measured, slot } = prepare(async () => {
    slot.switchTo({ ...MODEL });
    return RESULT;
  });
  await timer.measure();
  expect(measured).toEqual([]);
  const failing = prepare(() => Promise.reject(new Error('no')));
  await failing.timer.measure();
  expect(failing.slot.leases).toBe(0);
});
