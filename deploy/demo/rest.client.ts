import type { Device, Member, Model, Rollout } from '@entrofleet/protocol';
import {
  deviceSchema,
  memberSchema,
  modelSchema,
  type Problem,
  problemSchema,
  rolloutSchema,
} from '@entrofleet/protocol';
import { z } from 'zod';

const REQUEST_TIMEOUT_MS = 30_000;
const deviceListSchema = z.object({ items: z.array(deviceSchema) });
const memberListSchema = z.object({ items: z.array(memberSchema) });

/** The controller refused a request; `problem` is its RFC 9457 answer. */
export class RequestRefused extends Error {
  readonly reason = 'RequestRefused';
  readonly problem: Problem;

  constructor(problem: Problem) {
    const detail = problem.detail ?? problem.title;
    const fields = (problem.errors ?? [])
      .filter((e) => !detail.includes(e.message))
      .map((e) => `${e.pointer}: ${e.message}`);
    super([detail, ...fields].join('; '));
    this.problem = problem;
  }
}

interface Request {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
}

/** The few calls of the REST API that the demo makes. */
export class RestClient {
  readonly #url: string;
  /** Of reads only: creating a model checks its checkpoint first, which takes its time. */
  slowestReadMs = 0;

  constructor(url: string) {
    this.#url = url;
  }

  async createModel(input: unknown): Promise<Model> {
    return modelSchema.parse(await this.#ask({ method: 'POST', path: 'models', body: input }));
  }

  async model(name: string): Promise<Model> {
    return modelSchema.parse(await this.#ask({ method: 'GET', path: `models/${name}` }));
  }

  async createRollout(input: unknown): Promise<Rollout> {
    return rolloutSchema.parse(await this.#ask({ method: 'POST', path: 'rollouts', body: input }));
  }

  async replaceRollout(name: string, input: unknown): Promise<Rollout> {
    const answer = await this.#ask({ method: 'PUT', path: `rollouts/${name}`, body: input });
    return rolloutSchema.parse(answer);
  }

  async rollout(name: string): Promise<Rollout> {
    return rolloutSchema.parse(await this.#ask({ method: 'GET', path: `rollouts/${name}` }));
  }

  async members(name: string): Promise<Member[]> {
    const answer = await this.#ask({ method: 'GET', path: `rollouts/${name}/members` });
    return memberListSchema.parse(answer).items;
  }

  async deleteRollout(name: string): Promise<void> {
    await this.#ask({ method: 'DELETE', path: `rollouts/${name}` });
  }

  async devices(): Promise<Device[]> {
    return deviceListSchema.parse(await this.#ask({ method: 'GET', path: 'devices' })).items;
  }

  /** Also measures how long the controller takes to answer anything while it compresses. */
  async #ask(request: Request): Promise<unknown> {
    const start = performance.now();
    const response = await fetch(`${this.#url}/api/v1/${request.path}`, {
      method: request.method,
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      ...(request.body === undefined
        ? {}
        : {
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify(request.body),
          }),
    });
    const text = await response.text();
    if (request.method === 'GET') {
      this.slowestReadMs = Math.max(this.slowestReadMs, performance.now() - start);
    }
    const value: unknown = text === '' ? null : JSON.parse(text);
    if (!response.ok) throw new RequestRefused(problemSchema.parse(value));
    return value;
  }
}
