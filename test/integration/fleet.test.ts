import {
  type Device,
  deviceSchema,
  type Member,
  problemSchema,
  type Rollout,
  rolloutSchema,
  TOPIC_PREFIX,
  topics,
} from '@entrofleet/protocol';
import { connectAsync } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api.client.ts';
import { eventually } from '../support/eventually.ts';
import { FakeDevice, type FakeDeviceOptions } from '../support/fake.device.ts';
import { FleetLab } from '../support/fleet.lab.ts';

const ROLLOUTS = '/api/v1/rollouts';
const DEVICES = '/api/v1/devices';
/** Less than a test's own limit, so that a failure tells what was waited for. */
const WAIT = { timeoutMs: 30_000 };

describe('a fleet over real MQTT', () => {
  let lab: FleetLab;
  let api: ApiClient;
  let devices: FakeDevice[] = [];

  beforeAll(async () => {
    lab = await FleetLab.start();
    ({ api } = lab);
    const spec = { variants: ['u8', 'u4'], quality: { maxPerplexityRatio: 1.001 } };
    await lab.compress(spec, { hiddenSize: 128, layers: 4 });
  });
  afterEach(async () => {
    for (const { metadata } of await lab.items<Rollout>(ROLLOUTS)) {
      await api.delete(`${ROLLOUTS}/${metadata.name}`);
    }
    await Promise.all(devices.map((device) => device.stop()));
    // A last report may be on its way still, and would make a deleted device known again.
    for (const { name } of devices) await lab.deviceWhere(name, (d) => !d.status.online);
    for (const { metadata } of await lab.items<Device>(DEVICES)) {
      await api.delete(`${DEVICES}/${metadata.name}`);
    }
    devices = [];
  });
  afterAll(async () => {
    await lab?.stop();
  });

  async function start(name: string, change: Partial<FakeDeviceOptions> = {}): Promise<FakeDevice> {
    const labels = { site: 'lab' };
    const device = await FakeDevice.start({ url: lab.broker.url, device: name, labels, ...change });
    devices.push(device);
    await lab.deviceWhere(name, (d) => d.status.online);
    return device;
  }

  async function roll(spec: object, name = 'rollout'): Promise<Rollout> {
    const selector = { matchLabels: { site: 'lab' } };
    const body = { metadata: { name }, spec: { selector, model: 'tiny', variant: 'u8', ...spec } };
    const answer = await api.post(ROLLOUTS, body);
    expect(answer.status).toBe(202);
    return rolloutSchema.parse(answer.body);
  }

  function members(name = 'rollout', query = ''): Promise<Member[]> {
    return lab.items<Member>(`${ROLLOUTS}/${name}/members${query}`);
  }

  function condition(rollout: Rollout, type: string) {
    return rollout.status.conditions.find((c) => c.type === type);
  }

  it('registers devices, overlays their labels, and survives nonsense', async () => {
    const device = await start('alpha', { labels: { site: 'lab', rack: '1' } });
    device.say(topics.report('alpha'), 'nonsense');
    device.say(topics.report('alpha'), JSON.stringify({ device: 'alpha', boot: -1 }));
    device.say(topics.report('other'), JSON.stringify({ schemaVersion: 1, device: 'alpha' }));
    device.say(topics.want('alpha'), 'x'.repeat(1_500_000));
    device.report({ device: 'beta' });
    const { patch, patched } = await eventually('a patch', async () => {
      const { metadata } = await lab.deviceWhere('alpha', (d) => d.status.report !== null);
      const labels = { rack: '2', tier: 'gold' };
      const current = { resourceVersion: metadata.resourceVersion, labels };
      const answer = await api.send('PATCH', `${DEVICES}/alpha`, current);
      // A report may have come between.
      return answer.status === 409 ? undefined : { patch: current, patched: answer };
    });
    expect(patched.status).toBe(200);
    const { metadata } = deviceSchema.parse(patched.body);
    expect(metadata.labels).toEqual({ site: 'lab', rack: '2', tier: 'gold' });
    const again = await api.send('PATCH', `${DEVICES}/alpha`, patch);
    expect(again.status).toBe(409);
    expect(problemSchema.parse(again.body).reason).toBe('ResourceVersionConflict');
    const { body: selected } = await api.get(`${DEVICES}?labelSelector=tier%3Dgold`);
    expect(selected).toMatchObject({ items: [{ metadata: { name: 'alpha' } }] });
    expect(await lab.items<Device>(DEVICES)).toHaveLength(1);
    device.report();
    await lab.deviceWhere(
      'alpha',
      (d) => d.status.report !== null && d.metadata.labels.rack === '2',
    );
    const complaint = async () => {
      const log = await lab.controller.logTail(200);
      return log.includes('message dropped') ? log : undefined;
    };
    expect(await eventually('the complaint', complaint, WAIT)).toContain('"device":"alpha"');
  });

  it('rolls out in waves, chunks travel once for all of a wave', async () => {
    const watcher = await connectAsync(lab.broker.url, { protocolVersion: 5 });
    let published = 0;
    watcher.on('message', () => {
      published++;
    });
    await watcher.subscribeAsync(`${TOPIC_PREFIX}/c/#`, { qos: 1 });
    const names = ['d1', 'd2', 'd3', 'd4', 'd5', 'd6'];
    for (const name of names) await start(name);
    await roll({ strategy: { waves: [{ count: 1 }, { percent: 100 }] } });
    const done = await lab.rolloutWhere((r) => r.status.phase === 'Complete');
    expect(done.status.counts).toMatchObject({ selected: 6, active: 6 });
    expect((await members()).map((m) => m.wave)).toEqual([0, 1, 1, 1, 1, 1]);
    expect(condition(done, 'Complete')?.status).toBe('True');
    const chunks = devices[0]?.seen[0]?.target?.artifact.chunkCount ?? 0;
    expect(chunks).toBeGreaterThan(20);
    // One copy a wave; the devices of a wave start one after another, which costs some chunks.
    expect(published).toBeLessThanOrEqual(2 * 1.5 * chunks);
    expect(devices.map((d) => d.chunksReceived)).toEqual(names.map(() => chunks));
    await watcher.endAsync();
    const late = await start('a-late-one');
    await eventually('the late joiner', () => late.active, WAIT);
    await lab.rolloutWhere((r) => r.status.counts.active === 7);
    expect((await members()).at(-1)?.device).toBe('a-late-one');
    const { body: page } = await api.get(`${ROLLOUTS}/rollout/members?limit=5&state=Active`);
    const { continue: token } = (page as { metadata: { continue: string } }).metadata;
    const rest = await members('rollout', `?limit=5&state=Active&continue=${token}`);
    expect(rest.map((m) => m.device)).toEqual(['d6', 'a-late-one']);
    expect(await members('rollout', '?state=Failed')).toEqual([]);
    const { body: events } = await api.get('/api/v1/events?kind=Rollout&name=rollout');
    expect(JSON.stringify(events)).toContain('WaveStarted');
  });

  it('pauses on a failure, retries, and goes on', async () => {
    const canary = await start('d1');
    await start('d2');
    canary.failure = { reason: 'DiskFull', message: 'no space left on /data' };
    await roll({ strategy: { waves: [{ count: 1 }] } });
    const paused = await lab.rolloutWhere((r) => r.status.phase === 'Paused');
    expect(condition(paused, 'Progressing')).toMatchObject({ reason: 'MemberFailed' });
    expect(condition(paused, 'Progressing')?.message).toContain('DiskFull: no space left on /data');
    expect(devices[1]?.seen).toEqual([]);
    expect((await api.post(`${ROLLOUTS}/rollout/resume`)).status).toBe(202);
    const left = await lab.rolloutWhere((r) => r.status.phase === 'Complete');
    expect(left.status.counts).toMatchObject({ active: 1, failed: 1 });
    canary.failure = null;
    expect((await api.post(`${ROLLOUTS}/rollout/retry`)).status).toBe(202);
    await lab.rolloutWhere((r) => r.status.counts.active === 2);
    expect(canary.seen.map((desired) => desired.attempt)).toEqual([0, 1]);
  });

  it('refuses a variant beyond the bound unless forced', async () => {
    await start('d1');
    await roll({ variant: 'u4-paper' });
    const refused = await lab.rolloutWhere((r) => r.status.phase === 'Refused');
    expect(condition(refused, 'Accepted')?.message).toMatch(/perplexity .*1\.001.*spec\.force/);
    const { metadata, spec } = refused;
    const body = { metadata: { name: metadata.name }, spec: { ...spec, force: true } };
    expect((await api.put(`${ROLLOUTS}/rollout`, body)).status).toBe(200);
    const done = await lab.rolloutWhere((r) => r.status.phase === 'Complete');
    expect(condition(done, 'Accepted')?.reason).toBe('Forced');
  });

  it('says what is wrong with variant, selector and device', async () => {
    await start('small', { capabilities: { memoryBytes: 1024 } });
    await roll({ variant: 'u9' }, 'unknown');
    const unknown = await lab.rolloutWhere((r) => r.status.conditions.length > 0, 'unknown');
    expect(condition(unknown, 'Accepted')?.message).toContain('it has u8, u4-paper');
    await roll({ selector: { matchLabels: { site: 'moon' } } }, 'nobody');
    const nobody = await lab.rolloutWhere((r) => r.status.conditions.length > 0, 'nobody');
    expect(condition(nobody, 'Progressing')?.message).toContain('site=moon');
    await api.delete(`${ROLLOUTS}/unknown`);
    await roll({}, 'unfit');
    await lab.rolloutWhere((r) => r.status.counts.unfit === 1, 'unfit');
    expect((await members('unfit'))[0]?.message).toContain('of memory');
    const malformed = await api.post(ROLLOUTS, { metadata: { name: 'X' }, spec: {} });
    expect(malformed.status).toBe(422);
  });

  it('passes by a device that vanishes, and takes it along when it is back', async () => {
    const lost = await start('d1');
    await start('d2');
    await lost.vanish();
    await lab.deviceWhere('d1', (d) => !d.status.online);
    await roll({ strategy: { waves: [{ count: 1 }] } });
    const done = await lab.rolloutWhere((r) => r.status.phase === 'Complete');
    expect(done.status.counts).toMatchObject({ active: 1, offline: 1 });
    await lost.connect();
    await lab.rolloutWhere((r) => r.status.counts.active === 2);
  });

  it('leaves a device with the older of two rollouts', async () => {
    await start('d1');
    await roll({}, 'older');
    await lab.rolloutWhere((r) => r.status.phase === 'Complete', 'older');
    await roll({}, 'newer');
    await lab.rolloutWhere((r) => r.status.counts.conflict === 1, 'newer');
    expect((await members('newer'))[0]?.message).toContain('"older" is older');
    await api.delete(`${ROLLOUTS}/older`);
    await lab.rolloutWhere((r) => r.status.phase === 'Complete', 'newer');
  });

  it('lets a rollout with a typing error block nobody', async () => {
    await start('alpha');
    await roll({ variant: 'u9' }, 'older');
    await lab.rolloutWhere((r) => condition(r, 'Accepted')?.status === 'False', 'older');
    await roll({});
    await lab.rolloutWhere((r) => r.status.phase === 'Complete');
  });

  it('converges when broker, queue and controller go down half-way', async () => {
    for (const name of ['d1', 'd2', 'd3', 'd4']) await start(name);
    await roll({ strategy: { waves: [{ count: 1 }, { count: 1 }, { count: 1 }] } });
    await lab.rolloutWhere((r) => r.status.counts.active >= 1);
    await lab.broker.kill9();
    await lab.broker.restart();
    await lab.rolloutWhere((r) => r.status.counts.active >= 2);
    await lab.redis.flush();
    await lab.rolloutWhere((r) => r.status.counts.active >= 3);
    await lab.controller.kill9();
    await lab.redis.kill9();
    await lab.redis.restart();
    await lab.controller.restart();
    await lab.rolloutWhere((r) => r.status.counts.active === 4);
    expect((await members()).map((m) => m.state)).toEqual(Array(4).fill('Active'));
  });
});
