import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { attemptProgram, type ProgramResult, runProgram } from './program.ts';

/** `deploy/bootstrap/helm.sh` fetches them. */
const FOLDER = resolve(import.meta.dirname, '../../.cache/helm');
const PROGRAMS = { '4.1': join(FOLDER, 'helm'), '3.17': join(FOLDER, 'helm-3.17') } as const;

export type HelmVersion = keyof typeof PROGRAMS;
export const HELM_VERSIONS: readonly HelmVersion[] = ['4.1', '3.17'];

export function hasHelm(version: HelmVersion): boolean {
  return existsSync(PROGRAMS[version]);
}

/** helm of one version; it remembers nothing outside of a temporary folder and the API server. */
export class Helm {
  readonly #program: string;
  readonly #kubeconfigPath: string | undefined;
  readonly #home: Promise<string> = temporaryFolder('helm');

  constructor(use: { readonly version: HelmVersion; readonly kubeconfigPath?: string }) {
    this.#program = PROGRAMS[use.version];
    this.#kubeconfigPath = use.kubeconfigPath;
  }

  /** @returns what it printed. @throws ProgramError */
  async run(...args: string[]): Promise<string> {
    return runProgram(this.#program, args, { environment: await this.#environment() });
  }

  async attempt(...args: string[]): Promise<ProgramResult> {
    return attemptProgram(this.#program, args, { environment: await this.#environment() });
  }

  async #environment(): Promise<Record<string, string>> {
    const home = await this.#home;
    return {
      HOME: home,
      HELM_CACHE_HOME: join(home, 'cache'),
      HELM_CONFIG_HOME: join(home, 'config'),
      HELM_DATA_HOME: join(home, 'data'),
      KUBECONFIG: this.#kubeconfigPath ?? join(home, 'none'),
    };
  }
}
