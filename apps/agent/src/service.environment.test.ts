import { describe, expect, test } from 'vitest';
import { serviceEnvironment } from './service.environment.ts';

const PID = 42;

describe('serviceEnvironment', () => {
  test('is null when nobody wants to hear', () => {
    expect(serviceEnvironment({}, PID)).toBeNull();
    expect(serviceEnvironment({ NOTIFY_SOCKET: '', WATCHDOG_USEC: '5' }, PID)).toBeNull();
  });

  test.each([
    ['no watchdog', {}, null],
    ['a watchdog for any process', { WATCHDOG_USEC: '30000000' }, 30_000],
    ['a watchdog for this process', { WATCHDOG_USEC: '1500', WATCHDOG_PID: '42' }, 1.5],
    ['a watchdog for the parent', { WATCHDOG_USEC: '30000000', WATCHDOG_PID: '41' }, null],
    ['nonsense', { WATCHDOG_USEC: 'soon' }, null],
    ['no time at all', { WATCHDOG_USEC: '0' }, null],
  ])('knows %s', (_, watchdog, watchdogMs) => {
    const socketPath = '/run/notify';
    expect(serviceEnvironment({ NOTIFY_SOCKET: socketPath, ...watchdog }, PID)).toEqual({
      socketPath,
      watchdogMs,
    });
  });
});
