import {
  type Device,
  type DryRun,
  dryRunSchema,
  type Gate,
  type Member,
  type Rollout,
  type Target,
  WELL_KNOWN_LABELS,
} from '@entrofleet/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api.client.ts';
import { eventually } from '../support/eventually.ts';
import { FakeDevice } from '../support/fake.device.ts';
import { FleetLab } from '../support/fleet.lab.ts';

/** 4 bits a weight. */
const U4 = 'u4-paper';
const ROLLOUTS = '/api/v1/rollouts';
const DEVICES = '/api/v1/devices';
const WAIT = { timeoutMs: 30_000 };
const SLOWER: Partial<Gate> = { name: 'decode-speed', metric: 'decodeTokensPerSecond', min: 0.9 };
/** Two classes in turn, so that a wave of two has one device of each. */
const FLEET = ['a-orin', 'b-nano', 'c-orin', 'd-nano', 'e-orin', 'f-nano'] as const;

describe('gates on what devices measure', () => {
  let lab: FleetLab;
  let api: ApiClient;
  const devices = new Map<string, FakeDevice>();

  beforeAll(async () => {
    lab = await FleetLab.start();
    ({ api } = lab);
    await lab.compress({ variants: ['u8', U4], quality: { maxPerplexityRatio: 1000 } });
  });
  afterEach(async () => {
    await api.delete(`${ROLLOUTS}/rollout`);
    for (const device of devices.values()) await device.stop();
    for (const name of devices.keys()) {
      await lab.deviceWhere(name, (d) => !d.status.online);
      await api.delete(`${DEVICES}/${name}`);
    }
    devices.clear();
  });
  afterAll(async () => {
    await lab?.stop();
  });

  /** Devices with the classes in their names; on orin u4 is 30 % slower than u8. */
  async function startFleet(names: readonly string[] = FLEET): Promise<void> {
    for (const name of names) {
      const hardwareClass = name.split('-')[1] ?? '';
      const labels = { site: 'lab', [WELL_KNOWN_LABELS.hardwareClass]: hardwareClass };
      const capabilities = { linkBytesPerSecond: 1_000_000 };
      const device = await FakeDevice.start({
        ...{ url: lab.broker.url, device: name, labels, capabilities },
      });
      device.measure = speed(hardwareClass);
      devices.set(name, device);
      await lab.deviceWhere(name, (d) => d.status.online);
    }
  }

  function speed(hardwareClass: string): FakeDevice['measure'] {
    return ({ variant }: Target) => {
      const isSlow = hardwareClass === 'orin' && variant === U4;
      return { decodeTokensPerSecond: isSlow ? 14 : 20 };
    };
  }

  function device(name: string): FakeDevice {
    const found = devices.get(name);
    if (found === undefined) throw new Error(`no device ${name}`);
    return found;
  }

  function input(spec: object) {
    const selector = { matchLabels: { site: 'lab' } };
    return { metadata: { name: 'rollout' }, spec: { selector, model: 'tiny', ...spec } };
  }

  async function apply(spec: object): Promise<void> {
    const { status, body } = await api.put(`${ROLLOUTS}/rollout`, input(spec));
    expect([200, 202], JSON.stringify(body)).toContain(status);
  }

  async function members(): Promise<Member[]> {
    const { body } = await api.get(`${ROLLOUTS}/rollout/members`);
    return (body as { items: Member[] }).items;
  }

  /** Every device runs and has measured u8. */
  async function startedOnU8(): Promise<void> {
    await startFleet();
    await apply({ variant: 'u8', strategy: { waves: [{ percent: 100 }] } });
    await lab.rolloutWhere((r) => r.status.phase === 'Complete');
  }

  /** A revision is new when the one before it has left its mark. */
  async function applyU4(strategy: object): Promise<void> {
    const before = await lab.rolloutWhere(() => true);
    const waves = [{ count: 2 }, { percent: 100 }];
    await apply({ variant: U4, strategy: { waves, ...strategy } });
    await lab.rolloutWhere((r) => r.status.observedGeneration > before.status.observedGeneration);
  }

  function progressing(rollout: Rollout) {
    return rollout.status.conditions.find(({ type }) => type === 'Progressing');
  }

  function outcomes(rollout: Rollout) {
    return rollout.status.gates.map((g) => [g.hardwareClass, g.wave, g.outcome, g.samples]);
  }

  async function running(variant: string): Promise<string[]> {
    const { body } = await api.get(DEVICES);
    const { items } = body as { items: Device[] };
    return items
      .filter((d) => d.status.report?.active?.variant === variant)
      .map((d) => d.metadata.name);
  }

  it('pauses at the wave of a variant that is slower on one class, with the numbers', async () => {
    await startedOnU8();
    await applyU4({ gates: [SLOWER] });
    const paused = await lab.rolloutWhere((r) => r.status.phase === 'Paused');
    expect(progressing(paused)).toMatchObject({ status: 'False', reason: 'GateFailed' });
    const words =
      "decodeTokensPerSecond of class orin: median 0.7 of the previous model's over 1 device " +
      '(min 0.9); a-orin 14 / 20 = 0.700';
    expect(progressing(paused)?.message).toContain(words);
    expect(outcomes(paused)).toEqual([
      ['nano', 0, 'Passed', 1],
      ['orin', 0, 'Failed', 1],
    ]);
    expect(await running(U4)).toEqual(['a-orin', 'b-nano']);
    const { body: events } = await api.get('/api/v1/events?kind=Rollout&name=rollout');
    expect(JSON.stringify(events)).toContain(words);
    // A better figure afterwards is noise; only a person lets it go on.
    device('a-orin').measure = () => ({ decodeTokensPerSecond: 40 });
    device('a-orin').measureAgain();
    await lab.deviceWhere(
      'a-orin',
      (d) => d.status.report?.measurement?.decodeTokensPerSecond === 40,
    );
    device('a-orin').measure = speed('orin');
    device('a-orin').measureAgain();
    await lab.deviceWhere(
      'a-orin',
      (d) => d.status.report?.measurement?.decodeTokensPerSecond === 14,
    );
    expect(await running(U4)).toEqual(['a-orin', 'b-nano']);
    expect((await api.post(`${ROLLOUTS}/rollout/resume`)).status).toBe(202);
    const again = await lab.rolloutWhere(
      (r) => r.status.phase === 'Paused' && r.status.gates.some((g) => g.wave === 1),
    );
    expect(outcomes(again)).toEqual([
      ['nano', 1, 'Passed', 3],
      ['orin', 1, 'Failed', 3],
    ]);
    expect(await running(U4)).toEqual([...FLEET]);
    expect((await api.post(`${ROLLOUTS}/rollout/resume`)).status).toBe(202);
    const done = await lab.rolloutWhere((r) => r.status.phase === 'Complete');
    expect(done.status.gates.map((g) => g.overriddenAt != null)).toEqual([false, true]);
  });

  it('lets the other class go on when only the class that fails is held', async () => {
    await startedOnU8();
    await applyU4({ gates: [SLOWER], onGateFailure: 'HoldClass' });
    const held = await lab.rolloutWhere(
      (r) => r.status.phase === 'Paused' && r.status.counts.active === 4,
    );
    expect(progressing(held)).toMatchObject({ reason: 'GateFailed' });
    expect(progressing(held)?.message).toContain('a-orin 14 / 20 = 0.700');
    expect(await running(U4)).toEqual(['a-orin', 'b-nano', 'd-nano', 'f-nano']);
    expect(await running('u8')).toEqual(['c-orin', 'e-orin']);
    expect((await api.post(`${ROLLOUTS}/rollout/resume`)).status).toBe(202);
    await eventually(
      'the class that was held',
      async () => ((await running(U4)).length === FLEET.length ? true : undefined),
      WAIT,
    );
  });

  it('rolls only the class back that fails, and goes on in spite of it when told to', async () => {
    await startedOnU8();
    await applyU4({ gates: [SLOWER], onGateFailure: 'HoldClass', onFailure: 'RollBack' });
    const back = await lab.rolloutWhere(
      ({ status: { phase, counts } }) =>
        phase === 'Paused' && counts.active === 3 && counts.rolledBack === 1,
    );
    expect(progressing(back)).toMatchObject({ reason: 'GateFailed' });
    expect(progressing(back)?.message).toContain("The class's devices go back");
    expect(await running(U4)).toEqual(['b-nano', 'd-nano', 'f-nano']);
    expect(await running('u8')).toEqual(['a-orin', 'c-orin', 'e-orin']);
    expect((await api.post(`${ROLLOUTS}/rollout/resume`)).status).toBe(202);
    // Its next wave is judged like any other.
    await lab.rolloutWhere(({ status }) => status.counts.rolledBack === 3);
    expect((await api.post(`${ROLLOUTS}/rollout/resume`)).status).toBe(202);
    await lab.rolloutWhere((r) => r.status.phase === 'Complete' && r.status.counts.active === 6);
  });

  it('waits for evidence, goes on when it comes, and pauses when it does not', async () => {
    await startedOnU8();
    device('a-orin').measure = () => null;
    await applyU4({ gates: [{ ...SLOWER, min: 0.5, inconclusiveAfterSeconds: 600 }] });
    const waiting = await lab.rolloutWhere((r) =>
      r.status.gates.some((g) => g.outcome === 'Inconclusive'),
    );
    expect(waiting.status.phase).toBe('Progressing');
    expect(progressing(waiting)?.message).toContain('a-orin has measured nothing');
    expect(await running(U4)).toEqual(['a-orin', 'b-nano']);
    device('a-orin').measure = speed('orin');
    device('a-orin').measureAgain();
    const done = await lab.rolloutWhere((r) => r.status.phase === 'Complete');
    expect(done.status.gates.every((g) => g.outcome === 'Passed')).toBe(true);
  });

  it('never passes a device without evidence', async () => {
    await startedOnU8();
    device('a-orin').measure = () => null;
    await applyU4({ gates: [{ ...SLOWER, min: 0.5, inconclusiveAfterSeconds: 2 }] });
    const paused = await lab.rolloutWhere((r) => r.status.phase === 'Paused');
    expect(progressing(paused)).toMatchObject({ reason: 'GateInconclusive' });
    expect(progressing(paused)?.message).toContain('a-orin has measured nothing');
    expect(await running(U4)).toEqual(['a-orin', 'b-nano']);
  });

  async function plan(path: string, body?: object): Promise<DryRun> {
    const { status, body: answer } = await api.post(`${ROLLOUTS}${path}`, body);
    expect(status, JSON.stringify(answer)).toBe(200);
    return dryRunSchema.parse(answer);
  }

  it('says what a rollout would do, stores nothing, and shows what came of it', async () => {
    await startFleet(['a-orin', 'b-nano', 'c-orin']);
    const spec = { variant: 'u8', strategy: { waves: [{ count: 1 }, { percent: 100 }] } };
    const first = await plan('/plan', input(spec));
    expect((await api.get(`${ROLLOUTS}/rollout`)).status).toBe(404);
    expect(first.accepted.status).toBe('Accepted');
    expect(first.items.map((d) => [d.device, d.outcome, d.wave, d.seconds])).toEqual([
      ['a-orin', 'Update', 0, null],
      ['b-nano', 'Update', 1, null],
      ['c-orin', 'Update', 1, null],
    ]);
    expect(first.totals.bytesToFetch).toBe(3 * (first.items[0]?.bytesToFetch ?? 0));
    const page = await plan('/plan?limit=2', input(spec));
    expect(page.items).toEqual(first.items.slice(0, 2));
    const rest = await plan(`/plan?limit=2&continue=${page.metadata.continue}`, input(spec));
    expect(rest.items).toEqual(first.items.slice(2));
    expect(rest.metadata.continue).toBeUndefined();
    await apply(spec);
    await lab.rolloutWhere((r) => r.status.phase === 'Complete');
    const after = await plan('/rollout/plan');
    expect(after.items.map((d) => [d.outcome, d.bytesToFetch])).toEqual(
      Array(3).fill(['Active', 0]),
    );
    for (const member of await members()) {
      const { bytesToFetch } = first.items[0] ?? {};
      expect(member.predicted).toMatchObject({ bytesToFetch });
      expect(member.actual).toMatchObject({ bytesFetched: bytesToFetch, seconds: 4.1 });
    }
  });

  it('predicts from chunks that are held, the link, and what the class took before', async () => {
    await startFleet(['a-orin', 'b-nano']);
    await apply({ variant: 'u8' });
    await lab.rolloutWhere((r) => r.status.phase === 'Complete');
    const { items } = await plan('/plan', input({ variant: U4 }));
    const model = await api.model('tiny');
    const u4 = model.status.variants.find((v) => v.name === U4);
    const size = u4?.quality?.sizeBytes ?? 0;
    for (const { variant, bytesToFetch, seconds, message } of items) {
      expect(variant).toBe(U4);
      // The tokenizer's files and the norms are the same in both.
      expect(bytesToFetch).toBeGreaterThan(0);
      expect(bytesToFetch).toBeLessThan(size);
      expect(seconds).toBeGreaterThan((bytesToFetch ?? 0) / 1_000_000 + 0.1);
      expect(message).toContain('/ 1.0 MiB/s');
    }
    const choice = await plan('/plan', input({ preference: 'Size' }));
    expect(choice.items.map((d) => d.variant)).toEqual([U4, U4]);
    expect(choice.items[0]?.message).toContain('the smallest that fits');
  });
});
