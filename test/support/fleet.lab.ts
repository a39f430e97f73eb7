import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Device,
  deviceSchema,
  type Model,
  type Rollout,
  rolloutSchema,
} from '@entrofleet/protocol';
import { expect } from 'vitest';
import { type TinyCheckpointOptions, writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { ApiClient } from './api.client.ts';
import { eventually } from './eventually.ts';
import {
  type PrivateService,
  type RedisService,
  startController,
  startMosquitto,
  startRedis,
} from './services.ts';

/** Less than a test's own limit, so that a failure tells what was waited for. */
const WAIT = { timeoutMs: 30_000 };

/** A controller over its own Redis and broker, for devices that a test makes up. */
export class FleetLab {
  /** For files; it goes with the laboratory. */
  readonly folder: string;
  readonly redis: RedisService;
  readonly broker: PrivateService;
  readonly controller: PrivateService;
  readonly api: ApiClient;

  private constructor(of: Pick<FleetLab, 'folder' | 'redis' | 'broker' | 'controller'>) {
    this.folder = of.folder;
    this.redis = of.redis;
    this.broker = of.broker;
    this.controller = of.controller;
    this.api = new ApiClient(of.controller.url);
  }

  static async start(): Promise<FleetLab> {
    const folder = await mkdtemp(join(tmpdir(), 'entrofleet-lab-'));
    const redis = await startRedis();
    const broker = await startMosquitto();
    const controller = await startController({
      redisUrl: redis.url,
      mqttUrl: broker.url,
      environment: { SWEEP_INTERVAL_SECONDS: '1' },
    });
    return new FleetLab({ folder, redis, broker, controller });
  }

  async stop(): Promise<void> {
    for (const service of [this.controller, this.broker, this.redis]) await service.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** The path of a small checkpoint. */
  checkpoint(options: TinyCheckpointOptions = {}): Promise<string> {
    return writeTinyCheckpoint(join(this.folder, 'tiny'), options);
  }

  /** The model `tiny` with these variants, compressed. */
  async compress(
    spec: { readonly variants: readonly string[]; readonly quality?: Model['spec']['quality'] },
    options: TinyCheckpointOptions = {},
  ): Promise<void> {
    const source = { path: await this.checkpoint(options) };
    const whole = { source, evaluation: { rows: 2, rowTokens: 32 }, ...spec };
    await this.api.post('/api/v1/models', { metadata: { name: 'tiny' }, spec: whole });
    const model = await this.api.finishedModel('tiny');
    expect(model.status.variants.map((v) => v.phase)).toEqual(spec.variants.map(() => 'Ready'));
  }

  async items<T>(path: string): Promise<T[]> {
    const { body } = await this.api.get(path);
    return (body as { items: T[] }).items;
  }

  deviceWhere(name: string, isWanted: (device: Device) => boolean): Promise<Device> {
    const ask = async () => {
      const { status, body } = await this.api.get(`/api/v1/devices/${name}`);
      if (status !== 200) return undefined;
      const device = deviceSchema.parse(body);
      return isWanted(device) ? device : undefined;
    };
    return eventually(`device ${name}`, ask, WAIT);
  }

  /** @throws what the rollout says instead. */
  async rolloutWhere(isWanted: (rollout: Rollout) => boolean, name = 'rollout'): Promise<Rollout> {
    let last: Rollout | undefined;
    try {
      const ask = async () => {
        last = rolloutSchema.parse((await this.api.get(`/api/v1/rollouts/${name}`)).body);
        return isWanted(last) ? last : undefined;
      };
      return await eventually(`rollout ${name}`, ask, WAIT);
    } catch (error) {
      throw new Error(`${error}: ${JSON.stringify(last?.status, null, 2)}`);
    }
  }
}
