import { expect, it } from 'vitest';
import { AgentError, type Failure } from './errors.ts';
import { SERVING_FAILURES_MAX, ServingHealth } from './serving.health.ts';

const FAULT = new AgentError('NonFiniteLogits', 'NaN');

function prepare() {
  const failures: Failure[] = [];
  return { failures, health: new ServingHealth((failure) => failures.push(failure)) };
}

it('tells when a model has failed so many requests in a row', () => {
  const { failures, health } = prepare();
  for (let i = 1; i < SERVING_FAILURES_MAX; i++) health.failed('a', FAULT);
  expect(failures).toEqual([]);
  health.failed('a', FAULT);
  expect(failures).toMatchObject([{ reason: 'ServingFailed' }]);
  expect(failures[0]?.message).toContain('NonFiniteLogits: NaN');
});

it('begins to count again after an answer, and for another model', () => {
  const { failures, health } = prepare();
  for (let i = 0; i < 2 * SERVING_FAILURES_MAX; i++) {
    health.failed('a', FAULT);
    if (i % 2 === 1) health.succeeded('a');
  }
  for (let i = 1; i < SERVING_FAILURES_MAX; i++) health.failed('a', FAULT);
  for (let i = 1; i < SERVING_FAILURES_MAX; i++) health.failed('b', FAULT);
  expect(failures).toEqual([]);
});

it('does not hold against a model what its callers do', () => {
  const { failures, health } = prepare();
  for (const reason of [
    'ContextExceeded',
    'BadToken',
    'Cancelled',
    'ModelClosed',
    'NoChatTemplate',
  ]) {
    for (let i = 0; i < 5; i++) health.failed('a', new AgentError(reason, 'no'));
  }
  expect(failures).toEqual([]);
});
