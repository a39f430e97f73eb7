import { setTimeout as sleep } from 'node:timers/promises';
import type { FleetEvent } from '@entrofleet/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ApiClient } from '../support/api.client.ts';
import { eventually } from '../support/eventually.ts';
import { FakeDevice } from '../support/fake.device.ts';
import { type KubeSite, startKubeSite } from '../support/kube.site.ts';
import type { PrivateService } from '../support/services.ts';

/** So many that a rollout has a middle. */
const WAVES = 12;
/** From the kill to the other's first act. */
const TAKEOVER_MS = 20_000;
/** The chart's default. */
const LEASE_MS = 15_000;
/** Debian's libfaketime; clocks of a process are an hour ahead with it. */
const AHEAD = {
  LD_PRELOAD: '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
  FAKETIME: '+3600s',
  FAKETIME_DONT_FAKE_MONOTONIC: '1',
};

describe('two replicas', () => {
  let site: KubeSite;
  const replicas = new Map<string, PrivateService>();
  let devices: FakeDevice[] = [];

  beforeAll(async () => {
    site = await startKubeSite({});
    // One after another: the second finds the first one leading.
    replicas.set('a', await site.startController({ identity: 'a' }));
    await leaderIs('a');
    // Times that one writes and the other reads are those of the database.
    replicas.set('b', await site.startController({ identity: 'b', environment: AHEAD }));
    await site.applyExampleModel();
  });
  afterEach(async () => {
    for (const { process } of replicas.values()) if (!process.running) await process.start();
    await site.kubectl.run(['delete', 'rollouts', '--all', '--timeout=60s']);
    await Promise.all(devices.map((device) => device.stop()));
    devices = [];
  });
  afterAll(async () => {
    for (const replica of replicas.values()) await replica.kill9();
    await site?.stop();
  });

  function replica(identity: string): PrivateService {
    const found = replicas.get(identity);
    if (found === undefined) throw new Error(`no replica is called ${JSON.stringify(identity)}`);
    return found;
  }

  function leaderIs(identity: string, timeoutMs = 60_000): Promise<true> {
    const ask = async () => ((await site.leader()) === identity ? true : undefined);
    return eventually(`${identity} leads`, ask, { timeoutMs });
  }

  /** Twelve devices, one wave each. */
  async function startRollout(fleet: string): Promise<void> {
    for (let index = 0; index < WAVES; index++) {
      const device = `${fleet}-${index}`;
      const labels = { fleet };
      devices.push(await FakeDevice.start({ url: site.broker.url, device, labels }));
    }
    await site.kubectl.apply({
      apiVersion: 'entrofleet.io/v1alpha1',
      kind: 'Rollout',
      metadata: { name: fleet },
      spec: {
        model: 'demo',
        variant: 'u8',
        selector: { matchLabels: { fleet } },
        strategy: {
          waves: Array.from({ length: WAVES }, () => ({ count: 1 })),
        },
      },
    });
  }

  const active = () => devices.filter((device) => device.active !== undefined).length;
  const asked = () =>
    devices.filter(({ seen }) => seen.some(({ target }) => target !== null)).length;

  async function activeAtLeast(count: number, timeoutMs: number): Promise<void> {
    const ask = () => (active() >= count ? true : undefined);
    await eventually(`${count} devices active`, ask, { timeoutMs });
  }

  /** Nobody was asked twice, and each wave began once. */
  async function expectOnce(fleet: string, identity: string): Promise<void> {
    const wait = ['wait', '--for=condition=Complete', `rollout/${fleet}`, '--timeout=60s'];
    await site.kubectl.run(wait);
    for (const { name, seen } of devices) {
      const targets = seen.filter(({ target }) => target !== null);
      expect(
        new Set(targets.map(({ revision, attempt }) => `${revision}.${attempt}`)).size,
        name,
      ).toBe(1);
    }
    const api = new ApiClient(replica(identity).url);
    const { body } = await api.get(`/api/v1/events?kind=Rollout&name=${fleet}`);
    const events: FleetEvent[] = Object(body).items;
    const started = events.filter(({ reason }) => reason === 'WaveStarted');
    expect(started.map(({ message }) => message).sort()).toEqual(
      Array.from({ length: WAVES }, (_, wave) => `wave ${wave + 1} of ${WAVES}`).sort(),
    );
  }

  test('keep their leader although a third one comes whose clock is an hour ahead', async () => {
    const third = await site.startController({ identity: 'ahead', environment: AHEAD });
    await sleep(LEASE_MS + 5000);
    expect(await site.leader()).toBe('a');
    await third.stop();
    const leases = (await site.kube.requests()).filter(({ resource }) => resource === 'leases');
    expect(leases.filter(({ verb }) => verb === 'create')).toHaveLength(1);
    const written = leases.filter(({ verb, status }) => verb === 'update' && status === 200);
    expect(written.length).toBeGreaterThan(3);
  });

  test('when the leader is killed in mid-rollout the other goes on within 20 s', async () => {
    const before = await site.leader();
    await startRollout('killed');
    await activeAtLeast(2, 60_000);
    const killedAt = performance.now();
    await replica(before).kill9();
    // What it had sent may still arrive; whoever is asked later was asked by the other.
    await sleep(500);
    const reached = asked();
    expect(reached).toBeLessThan(WAVES);
    const ask = () => (asked() > reached ? true : undefined);
    await eventually('another device is asked', ask, { timeoutMs: TAKEOVER_MS });
    const takeoverMs = performance.now() - killedAt;
    expect(takeoverMs).toBeLessThan(TAKEOVER_MS);
    const other = before === 'a' ? 'b' : 'a';
    await leaderIs(other);
    await expectOnce('killed', other);
    console.info(`the other replica went on after ${(takeoverMs / 1000).toFixed(1)} s`);
  });

  test('a leader that is paused for longer than its lease finds itself deposed', async () => {
    const before = await site.leader();
    const other = before === 'a' ? 'b' : 'a';
    await startRollout('frozen');
    await activeAtLeast(2, 60_000);
    process.kill(replica(before).pid, 'SIGSTOP');
    expect(active()).toBeLessThan(WAVES);
    try {
      await leaderIs(other, TAKEOVER_MS);
      await activeAtLeast(WAVES, 60_000);
    } finally {
      process.kill(replica(before).pid, 'SIGCONT');
    }
    await expectOnce('frozen', other);
    expect(await site.leader()).toBe(other);
  });

  test('a leader that is asked to end hands over at once', async () => {
    const before = await site.leader();
    const other = before === 'a' ? 'b' : 'a';
    const stopping = replica(before).stop();
    await leaderIs(other, 10_000);
    await stopping;
  });
});
