import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createLog } from './log.ts';
import { type ServiceCondition, ServiceNotices } from './service.notices.ts';

const WATCHDOG_MS = 900;

let told: string[];
let condition: ServiceCondition;
let isDeaf: boolean;
let notices: ServiceNotices;

beforeEach(() => {
  vi.useFakeTimers();
  told = [];
  isDeaf = false;
  condition = { isReady: true, isHealthy: true, text: 'serving tiny u8' };
  notices = noticesWith(WATCHDOG_MS);
});
afterEach(() => vi.useRealTimers());

function noticesWith(watchdogMs: number | null): ServiceNotices {
  return new ServiceNotices({
    environment: { socketPath: '/run/notify', watchdogMs },
    send: ({ message }) => {
      if (isDeaf) throw new Error('nobody there');
      told.push(...message.split('\n'));
    },
    condition: () => condition,
    log: createLog('error'),
  });
}

describe('ServiceNotices', () => {
  test('asks for more time while a model is loaded, then is ready once', () => {
    condition = { isReady: false, isHealthy: true, text: 'loading tiny u8' };
    notices.start();
    expect(told).toContain('EXTEND_TIMEOUT_USEC=60000000');
    expect(told).not.toContain('READY=1');
    condition = { isReady: true, isHealthy: true, text: 'serving tiny u8' };
    vi.advanceTimersByTime(3000);
    expect(told.filter((word) => word === 'READY=1')).toHaveLength(1);
    expect(told.filter((word) => word.startsWith('STATUS='))).toEqual([
      'STATUS=loading tiny u8',
      'STATUS=serving tiny u8',
    ]);
  });

  test('gives three signs of life in a watchdog time, none while it is not healthy', () => {
    notices.start();
    told = [];
    vi.advanceTimersByTime(WATCHDOG_MS);
    expect(told).toEqual(['WATCHDOG=1', 'WATCHDOG=1', 'WATCHDOG=1']);
    condition = { ...condition, isHealthy: false };
    told = [];
    vi.advanceTimersByTime(10 * WATCHDOG_MS);
    expect(told).toEqual([]);
  });

  test('gives none to a manager that does not watch', () => {
    noticesWith(null).start();
    vi.advanceTimersByTime(60_000);
    expect(told).toEqual(['READY=1', 'STATUS=serving tiny u8']);
  });

  test('a text cannot make another assignment', () => {
    condition = { ...condition, text: 'failed:\nREADY=1' };
    notices.start();
    expect(told.at(-1)).toBe('STATUS=failed: READY=1');
  });

  test('says the status again that could not be said, and goes on', () => {
    isDeaf = true;
    notices.start();
    isDeaf = false;
    vi.advanceTimersByTime(WATCHDOG_MS);
    expect(told).toContain('STATUS=serving tiny u8');
    expect(told).toContain('READY=1');
  });

  test('says that it ends, and nothing more', () => {
    notices.start();
    notices.stop();
    told = [];
    vi.advanceTimersByTime(60_000);
    expect(told).toEqual([]);
  });
});
