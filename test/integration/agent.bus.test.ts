import { setTimeout as sleep } from 'node:timers/promises';
import { presenceSchema, topics } from '@entrofleet/protocol';
import { connectAsync } from 'mqtt';
import { expect, it, onTestFinished, vi } from 'vitest';
import { MqttBus } from '../../apps/agent/src/adapters/mqtt.ts';
import { createLog } from '../../apps/agent/src/log.ts';
import { freePort } from '../../deploy/private/loopback.port.ts';
import { startMosquitto } from '../support/services.ts';

function busTo(url: string, lines: string[] = []): MqttBus {
  const bus = new MqttBus({
    url,
    device: 'edge-1',
    boot: 3,
    log: createLog('info', (line) => lines.push(line)),
    maximumPacketBytes: 5 * 1024 * 1024,
    receiveMaximum: 64,
  });
  onTestFinished(() => bus.end());
  return bus;
}

/** Everything that is said about presence from now on. */
async function watchPresence(url: string): Promise<boolean[]> {
  const client = await connectAsync(url, { protocolVersion: 5 });
  onTestFinished(() => client.endAsync());
  const seen: boolean[] = [];
  client.on('message', (_, payload) => {
    seen.push(presenceSchema.parse(JSON.parse(payload.toString())).online);
  });
  await client.subscribeAsync(topics.everyPresence, { qos: 1 });
  return seen;
}

it('is present while connected, absent after its goodbye', async () => {
  const broker = await startMosquitto();
  const seen = await watchPresence(broker.url);
  const bus = busTo(broker.url);
  await vi.waitFor(() => expect(seen).toEqual([true]));
  await bus.end();
  await vi.waitFor(() => expect(seen).toEqual([true, false]));
  const later = await watchPresence(broker.url);
  await vi.waitFor(() => expect(later).toEqual([false]));
});

it('subscribes again and says so when the broker was away, and drops what it could not send', async () => {
  const broker = await startMosquitto();
  const bus = busTo(broker.url);
  const got: string[] = [];
  bus.subscribe('test/+', (topic, payload) => {
    got.push(`${topic} ${Buffer.from(payload).toString()}`);
  });
  let connects = 0;
  bus.onConnected(() => {
    connects++;
    bus.publish({ topic: `test/${connects}`, payload: 'hello' });
  });
  await vi.waitFor(() => expect(got).toEqual(['test/1 hello']), 5000);
  await broker.stop();
  await vi.waitFor(() => expect(bus.connected).toBe(false), 5000);
  expect(bus.publish({ topic: 'test/lost', payload: 'x' })).toBe(false);
  await broker.restart();
  await vi.waitFor(() => expect(got).toEqual(['test/1 hello', 'test/2 hello']), 15_000);
});

it('holds further messages back while one is dealt with', async () => {
  const broker = await startMosquitto();
  const bus = busTo(broker.url);
  let letGo: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const order: string[] = [];
  bus.subscribe('test/+', async (topic) => {
    order.push(`+${topic}`);
    await held;
    order.push(`-${topic}`);
  });
  const other = await connectAsync(broker.url, { protocolVersion: 5 });
  onTestFinished(() => other.endAsync());
  await vi.waitFor(() => expect(bus.connected).toBe(true));
  await sleep(100);
  for (const n of [1, 2]) await other.publishAsync(`test/${n}`, 'x', { qos: 1 });
  await vi.waitFor(() => expect(order).toEqual(['+test/1']));
  letGo();
  await vi.waitFor(() => expect(order).toEqual(['+test/1', '-test/1', '+test/2', '-test/2']));
});

it('leaves a payload as it is until its handler is done, small and large ones mixed', async () => {
  const broker = await startMosquitto();
  const bus = busTo(broker.url);
  const wrong: string[] = [];
  let received = 0;
  bus.subscribe('test/+', async (topic, payload) => {
    const first = payload[0];
    // Long enough for whatever follows to be read.
    await sleep(2);
    if (!payload.every((byte) => byte === first)) wrong.push(topic);
    if (String(first) !== topic.slice('test/'.length)) wrong.push(topic);
    received++;
  });
  const other = await connectAsync(broker.url, { protocolVersion: 5 });
  onTestFinished(() => other.endAsync());
  await vi.waitFor(() => expect(bus.connected).toBe(true));
  await sleep(100);
  const sizes = [300_000, 10, 262_144, 5000, 40_000, 262_144];
  const count = 60;
  for (let n = 0; n < count; n++) {
    const payload = Buffer.alloc(sizes[n % sizes.length] ?? 0, n);
    other.publish(`test/${n}`, payload, { qos: 1 });
  }
  await vi.waitFor(() => expect(received).toBe(count), 10_000);
  expect(wrong).toEqual([]);
});

it('names a broker that refuses it once, without the password', async () => {
  const port = await freePort();
  const lines: string[] = [];
  const bus = busTo(`mqtt://user:secret@127.0.0.1:${port}`, lines);
  await vi.waitFor(() => expect(lines.length).toBeGreaterThan(0));
  await sleep(1500);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(`127.0.0.1:${port}`);
  expect(lines[0]).toContain('ECONNREFUSED');
  expect(lines[0]).not.toContain('secret');
  expect(bus.connected).toBe(false);
});
