import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BadMessage,
  readDeviceMessage,
} from '../../apps/controller/src/devices/device.messages.ts';
import {
  effectiveLabels,
  silentBefore,
  withPresence,
  withReport,
} from '../../apps/controller/src/devices/device.plan.ts';
import { type DeviceStatus, topics } from '../../libs/protocol/src/index.ts';
import { exampleDevice, exampleReport, NOW } from '../support/fleet.examples.ts';

const { status } = exampleDevice('a');
const heard = (boot: number, sequence: number) => ({
  report: exampleReport('a', { boot, sequence }),
  generation: 1,
  now: NOW,
});

describe('reports', () => {
  it('the newest counts, whatever the order and however often they arrive', () => {
    const known = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 5 }));
    fc.assert(
      fc.property(fc.array(known, { minLength: 1 }), (arrivals) => {
        let now: DeviceStatus = { ...status, report: null };
        for (const [boot, sequence] of arrivals) {
          now = withReport(now, heard(boot, sequence)) ?? now;
        }
        const newest = arrivals.reduce((a, b) => (b[0] * 100 + b[1] > a[0] * 100 + a[1] ? b : a));
        expect([now.report?.boot, now.report?.sequence]).toEqual(newest);
      }),
    );
  });

  it('a failure becomes a condition with its reason', () => {
    const error = { reason: 'DiskFull', message: 'no space left' };
    const report = exampleReport('a', { sequence: 2, phase: 'Failed', error });
    const after = withReport(status, { report, generation: 1, now: NOW });
    expect(after?.conditions).toMatchObject([
      { type: 'Synced', status: 'False', reason: 'DiskFull' },
    ]);
  });
});

describe('presence', () => {
  const presence = (online: boolean, boot: number) => ({
    schemaVersion: 1 as const,
    device: 'a',
    online,
    boot,
  });
  const booted = { ...status, report: exampleReport('a', { boot: 5 }) };

  it('a last will of an earlier start is ignored', () => {
    expect(withPresence(booted, presence(false, 4), NOW)).toBeUndefined();
    expect(withPresence(booted, presence(false, 5), NOW)?.online).toBe(false);
  });

  it('silence counts only while all would have been heard', () => {
    const at = { nowMs: 100_000, reportIntervalMs: 30_000 };
    expect(silentBefore({ ...at, listeningSinceMs: 0 })).toEqual(new Date(10_000));
    expect(silentBefore({ ...at, listeningSinceMs: 10_000 })).toBeUndefined();
  });
});

describe('labels', () => {
  it('the operator wins', () => {
    expect(effectiveLabels({ a: '1', b: '1' }, { b: '2' })).toEqual({ a: '1', b: '2' });
  });

  it('there are never more than an object may have', () => {
    const many = (prefix: string) =>
      Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`${prefix}${i}`, '']));
    const labels = effectiveLabels(many('own'), many('set'));
    expect(labels).toEqual(many('set'));
  });
});

describe('readDeviceMessage', () => {
  const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const topic = topics.report('a');

  it('reads a report', () => {
    const report = exampleReport('a');
    expect(readDeviceMessage(topic, bytes(report))).toEqual({ kind: 'report', message: report });
  });

  it.each([
    ['no JSON', new TextEncoder().encode('{')],
    ['no UTF-8', new Uint8Array([0xff, 0xfe])],
    ['another device', bytes(exampleReport('b'))],
    ['an unknown field', bytes({ ...exampleReport('a'), extra: 1 })],
    ['too large', new Uint8Array(2 * 1024 * 1024)],
  ])('refuses %s', (_what, payload) => {
    expect(() => readDeviceMessage(topic, payload)).toThrow(BadMessage);
  });

  it('any bytes are read or refused, never worse', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((t) => Buffer.from(t)),
        ),
        (payload) => {
          try {
            readDeviceMessage(topic, payload);
          } catch (error) {
            expect(error).toBeInstanceOf(BadMessage);
          }
        },
      ),
    );
  });

  it('ignores other topics and what was taken back', () => {
    expect(readDeviceMessage('x/y', bytes({}))).toBeUndefined();
    expect(readDeviceMessage(topics.want('a'), bytes({}))).toBeUndefined();
    expect(readDeviceMessage(topics.presence('a'), new Uint8Array())).toBeUndefined();
  });
});
