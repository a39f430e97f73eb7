import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { join } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import type { KubernetesAccess } from '../config.ts';
import { messageOf } from '../errors.ts';
import { KubeUnavailable } from './kube.error.ts';

/** How one request reaches the API server: where it is, who we are, whom we trust. */
export interface KubeReach {
  /** URL without a slash at its end; it may have a path. */
  readonly server: string;
  /** Headers, TLS material, and an agent where a proxy is on the way. */
  readonly options: RequestOptions;
}

/** Tokens and certificates are replaced while we run, so they are read when they are needed. */
export abstract class KubeCredentials {
  /** @throws KubeUnavailable `NoCredentials` */
  abstract read(): Promise<KubeReach>;

  /** What was read last was refused: nothing of it is used again. */
  abstract forget(): void;
}

export function kubeCredentials(access: KubernetesAccess): KubeCredentials {
  return access.kind === 'ServiceAccount'
    ? new ServiceAccount(access)
    : new KubeconfigFile(access.path);
}

/** A pod's own account. Its files are small and in memory, so each request reads them anew. */
class ServiceAccount extends KubeCredentials {
  readonly #server: string;
  readonly #folder: string;

  constructor(access: { readonly server: string; readonly folder: string }) {
    super();
    this.#server = access.server;
    this.#folder = access.folder;
  }

  async read(): Promise<KubeReach> {
    const [token, ca] = await Promise.all([this.#file('token'), this.#file('ca.crt')]);
    const headers = { authorization: `Bearer ${token.trim()}` };
    return { server: this.#server, options: { headers, ca } };
  }

  forget(): void {}

  async #file(name: string): Promise<string> {
    const path = join(this.#folder, name);
    try {
      return await readFile(path, 'utf8');
    } catch (cause) {
      const message = `cannot read ${path} (${messageOf(cause)}); is the service account mounted?`;
      throw new KubeUnavailable({ reason: 'NoCredentials', message }, { cause });
    }
  }
}

/**
 * A kubeconfig file with all it can say: certificates, tokens, programs that fetch one, proxies.
 * The library for it takes 90 MB of memory, so only who has such a file loads it.
 */
class KubeconfigFile extends KubeCredentials {
  readonly #path: string;
  #config: Promise<KubeConfig> | undefined;

  constructor(path: string) {
    super();
    this.#path = path;
  }

  async read(): Promise<KubeReach> {
    try {
      this.#config ??= this.#load();
      const config = await this.#config;
      const cluster = config.getCurrentCluster();
      if (cluster === null) throw new Error('its current context names no cluster');
      const applied: RequestOptions = {};
      await config.applyToHTTPSOptions(applied);
      const { agent, ...options } = applied;
      // Only a proxy needs the library's agent, which opens a new connection for every request.
      return { server: cluster.server, options: cluster.proxyUrl ? applied : options };
    } catch (cause) {
      this.forget();
      const message = `cannot use ${this.#path} (KUBECONFIG): ${messageOf(cause)}`;
      throw new KubeUnavailable({ reason: 'NoCredentials', message }, { cause });
    }
  }

  forget(): void {
    this.#config = undefined;
  }

  async #load(): Promise<KubeConfig> {
    const { KubeConfig } = await import('@kubernetes/client-node');
    const config = new KubeConfig();
    config.loadFromFile(this.#path);
    return config;
  }
}
