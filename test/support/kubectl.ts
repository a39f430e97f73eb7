import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { attemptProgram, type ProgramInput, type ProgramResult, runProgram } from './program.ts';

/** `deploy/bootstrap/helm.sh` fetches it. */
const KUBECTL = resolve(import.meta.dirname, '../../.cache/helm/kubectl');

export interface KubeCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
}

/** What tests read of an object of any kind. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly generation: number;
    readonly resourceVersion: string;
    readonly finalizers?: readonly string[];
    readonly deletionTimestamp?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>> & {
    readonly phase?: string;
    readonly conditions?: readonly KubeCondition[];
  };
}

export function hasKubectl(): boolean {
  return existsSync(KUBECTL);
}

/** kubectl with one kubeconfig; it remembers nothing outside of a temporary folder. */
export class Kubectl {
  readonly #kubeconfigPath: string;
  readonly #namespace: string;
  readonly #home: Promise<string> = temporaryFolder('kubectl');

  constructor(use: { readonly kubeconfigPath: string; readonly namespace?: string }) {
    this.#kubeconfigPath = use.kubeconfigPath;
    this.#namespace = use.namespace ?? 'default';
  }

  /** The same server and user, another namespace. */
  in(namespace: string): Kubectl {
    return new Kubectl({ kubeconfigPath: this.#kubeconfigPath, namespace });
  }

  /** @returns what it printed. @throws ProgramError */
  async run(args: readonly string[], input: ProgramInput = {}): Promise<string> {
    return runProgram(KUBECTL, await this.#arguments(args), await this.#input(input));
  }

  async attempt(args: readonly string[], input: ProgramInput = {}): Promise<ProgramResult> {
    return attemptProgram(KUBECTL, await this.#arguments(args), await this.#input(input));
  }

  /** Applies an object, or a text of YAML. @returns what kubectl printed. @throws ProgramError */
  apply(manifest: object | string, ...flags: string[]): Promise<string> {
    return this.run(['apply', '-f', '-', ...flags], { stdin: textOf(manifest) });
  }

  attemptApply(manifest: object | string, ...flags: string[]): Promise<ProgramResult> {
    return this.attempt(['apply', '-f', '-', ...flags], { stdin: textOf(manifest) });
  }

  /** @param object for example `rollout/demo` */
  async get(object: string): Promise<KubeObject> {
    return JSON.parse(await this.run(['get', object, '-o', 'json']));
  }

  async list(kind: string, ...flags: string[]): Promise<KubeObject[]> {
    return JSON.parse(await this.run(['get', kind, '-o', 'json', ...flags])).items;
  }

  /** Replaces fields of the status, as a controller does. */
  patchStatus(object: string, status: object): Promise<string> {
    return this.#patch(object, { status }, '--subresource=status');
  }

  patchSpec(object: string, spec: object): Promise<string> {
    return this.#patch(object, { spec });
  }

  #patch(object: string, patch: object, ...flags: string[]): Promise<string> {
    return this.run(['patch', object, '--type=merge', '-p', JSON.stringify(patch), ...flags]);
  }

  async #arguments(args: readonly string[]): Promise<string[]> {
    const cache = join(await this.#home, 'cache');
    const options = [`--kubeconfig=${this.#kubeconfigPath}`, `--cache-dir=${cache}`];
    return [...options, `--namespace=${this.#namespace}`, ...args];
  }

  async #input(input: ProgramInput): Promise<ProgramInput> {
    return { ...input, environment: { HOME: await this.#home, ...input.environment } };
  }
}

function textOf(manifest: object | string): string {
  return typeof manifest === 'string' ? manifest : JSON.stringify(manifest);
}
