import {
  type Device,
  type FleetApi,
  FleetClient,
  type Member,
  type Model,
  type ModelInput,
  type Rollout,
  type RolloutInput,
  unwrap,
} from '@entrofleet/client';

/** The few calls of the REST API that the demo makes. */
export class RestClient {
  readonly #api: FleetApi;
  /** Of reads only: creating a model checks its checkpoint first, which takes its time. */
  slowestReadMs = 0;

  constructor(url: string) {
    this.#api = new FleetClient({ server: url }).api;
  }

  createModel(body: ModelInput): Promise<Model> {
    return unwrap(this.#api.POST('/api/v1/models', { body }));
  }

  model(name: string): Promise<Model> {
    return this.#timed(() => unwrap(this.#api.GET('/api/v1/models/{name}', named(name))));
  }

  createRollout(body: RolloutInput): Promise<Rollout> {
    return unwrap(this.#api.POST('/api/v1/rollouts', { body }));
  }

  replaceRollout(name: string, body: RolloutInput): Promise<Rollout> {
    return unwrap(this.#api.PUT('/api/v1/rollouts/{name}', { ...named(name), body }));
  }

  rollout(name: string): Promise<Rollout> {
    return this.#timed(() => unwrap(this.#api.GET('/api/v1/rollouts/{name}', named(name))));
  }

  async members(name: string): Promise<Member[]> {
    const read = () => unwrap(this.#api.GET('/api/v1/rollouts/{name}/members', named(name)));
    return (await this.#timed(read)).items;
  }

  async deleteRollout(name: string): Promise<void> {
    await unwrap(this.#api.DELETE('/api/v1/rollouts/{name}', named(name)));
  }

  async devices(): Promise<Device[]> {
    return (await this.#timed(() => unwrap(this.#api.GET('/api/v1/devices')))).items;
  }

  /** Measures how long the controller takes to answer anything while it compresses. */
  async #timed<T>(read: () => Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await read();
    } finally {
      this.slowestReadMs = Math.max(this.slowestReadMs, performance.now() - start);
    }
  }
}

function named(name: string): { params: { path: { name: string } } } {
  return { params: { path: { name } } };
}
