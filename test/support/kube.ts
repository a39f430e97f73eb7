import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { onTestFailed, onTestFinished } from 'vitest';
import {
  type Kube,
  type KubeOptions,
  startKube as startPrivateKube,
} from '../../deploy/private/kube.ts';
import { Kubectl } from './kubectl.ts';

const ROOT = resolve(import.meta.dirname, '../..');
export const CRD_FOLDER = join(ROOT, 'charts/entrofleet/crds');
export const EXAMPLES_FOLDER = join(ROOT, 'deploy/examples');

/**
 * A private API server for tests. Started inside a test, it is stopped when the test has finished
 * and the ends of its logs are printed when the test has failed; started in `beforeAll`, it is the
 * caller's to stop. Whatever is forgotten dies with the test process.
 */
export async function startKube(options?: KubeOptions): Promise<Kube> {
  const kube = await startPrivateKube(options);
  try {
    onTestFailed(async () => {
      for (const part of [kube.etcd, kube.apiserver]) {
        console.error(`--- end of the log of ${part.name} ---\n${await part.logTail()}`);
      }
    });
    onTestFinished(() => kube.stop());
  } catch {
    // Outside of a test there is no test to bind to: beforeAll and afterAll do it themselves.
  }
  return kube;
}

export function administrator(kube: Kube, namespace = 'default'): Kubectl {
  return new Kubectl({ kubeconfigPath: kube.kubeconfigPath, namespace });
}

/** Brings the chart's definitions as its documentation says, and waits until they are served. */
export async function applyDefinitions(kubectl: Kubectl): Promise<string> {
  const printed = await kubectl.run(['apply', '--server-side', '-f', CRD_FOLDER]);
  const files = readdirSync(CRD_FOLDER).map((name) => `--filename=${join(CRD_FOLDER, name)}`);
  await kubectl.run(['wait', '--for=condition=Established', '--timeout=30s', ...files]);
  return printed;
}
