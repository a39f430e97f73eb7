import { describe, expect, test } from 'vitest';
import { desiredOf, referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { serviceCondition } from './service.condition.ts';
import { INITIAL_SITUATION, type Situation } from './update.states.ts';

const OLD = targetOf(referenceOf('a'));
const NEW = targetOf(referenceOf('b'), { variant: 'u4' });
const ACTIVE: Situation = { ...INITIAL_SITUATION, state: 'Active', active: OLD };

const conditionOf = (
  situation: Situation,
  change: Partial<Parameters<typeof serviceCondition>[0]>,
) => serviceCondition({ situation, serving: null, hasResumed: true, isListening: true, ...change });

describe('serviceCondition', () => {
  test.each([
    ['no model to serve', INITIAL_SITUATION, {}, true],
    ['the journal not taken up yet', ACTIVE, { hasResumed: false }, false],
    ['a model that is loaded again', { ...ACTIVE, restoring: true }, {}, false],
    ['a model that serves', ACTIVE, { serving: OLD }, true],
    [
      'a model that serves before the journal is written',
      ACTIVE,
      { serving: OLD, hasResumed: false },
      true,
    ],
    ['no HTTP server', ACTIVE, { serving: OLD, isListening: false }, false],
  ] as const)('with %s', (_, situation, change, isReady) => {
    expect(conditionOf(situation, change).isReady).toBe(isReady);
  });

  test('says what serves, what is on its way, and what went wrong', () => {
    expect(conditionOf({ ...ACTIVE, restoring: true }, {}).text).toBe('loading tiny u8');
    const updating: Situation = { ...ACTIVE, state: 'Downloading', desired: desiredOf(NEW) };
    expect(conditionOf(updating, { serving: OLD }).text).toBe(
      'serving tiny u8; Downloading: tiny u4',
    );
    const failure = { reason: 'DiskFull', message: 'no room' };
    expect(conditionOf({ ...updating, failure }, { serving: OLD }).text).toBe(
      'serving tiny u8; DiskFull: no room',
    );
  });
});
