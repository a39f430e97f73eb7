import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../deploy/private/temporary.folder.ts';
import { ConfigError, helpText, readConfig } from './config.ts';

describe('readConfig', () => {
  it('has defaults for everything; an empty variable counts as unset', () => {
    const config = readConfig({ DATABASE_URL: '', PORT: '' });
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      databaseUrl: undefined,
      sweepIntervalMs: 5000,
    });
    expect([...config.roles]).toEqual(['api', 'worker', 'distributor', 'reconciler']);
    expect(config.compressionThreads).toBeGreaterThan(0);
  });

  it('takes a list of roles', () => {
    expect([...readConfig({ ENTROFLEET_ROLES: 'worker, api' }).roles]).toEqual(['worker', 'api']);
  });

  it('looks for a cluster only when asked for by name', () => {
    expect(readConfig({ KUBERNETES_SERVICE_HOST: '10.0.0.1' }).kubernetes).toBeUndefined();
    const roles = readConfig({ ENTROFLEET_ROLES: 'all,kubernetes', KUBECONFIG: '/k' }).roles;
    expect([...roles]).toEqual(['api', 'worker', 'distributor', 'reconciler', 'kubernetes']);
  });

  it('reaches the API server as a pod unless there is a kubeconfig file', async () => {
    const folder = await temporaryFolder('config');
    const pod = {
      ENTROFLEET_ROLES: 'reconciler,kubernetes',
      KUBERNETES_SERVICE_HOST: 'fd00::1',
      KUBERNETES_SERVICE_PORT: '6443',
      KUBERNETES_SERVICE_ACCOUNT_DIR: folder,
    };
    expect(readConfig(pod).kubernetes).toMatchObject({
      access: { kind: 'ServiceAccount', server: 'https://[fd00::1]:6443', folder },
      namespace: 'default',
    });
    await writeFile(join(folder, 'namespace'), 'edge\n');
    expect(readConfig(pod).kubernetes?.namespace).toBe('edge');
    expect(readConfig({ ...pod, KUBERNETES_NAMESPACE: 'mine' }).kubernetes?.namespace).toBe('mine');
    expect(readConfig({ ...pod, KUBECONFIG: '/k' }).kubernetes?.access).toEqual({
      kind: 'KubeconfigFile',
      path: '/k',
    });
    const identities = [1, 2].map(() => readConfig(pod).kubernetes?.identity);
    expect(new Set(identities).size).toBe(2);
    expect(readConfig({ ...pod, KUBERNETES_IDENTITY: 'me' }).kubernetes?.identity).toBe('me');
  });

  it('puts artifacts in the data folder unless told otherwise', () => {
    expect(readConfig({ ENTROFLEET_DATA_DIR: '/d' }).blobFolder).toBe('/d/blobs');
    expect(readConfig({ ENTROFLEET_BLOB_DIR: '/b' }).blobFolder).toBe('/b');
  });

  it.each([
    ['PORT', '80a'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['DATABASE_URL', 'mysql://u:secret@h/d'],
    ['REDIS_URL', 'localhost:6379'],
    ['MQTT_URL', 'http://u:secret@h'],
    ['ENTROFLEET_ROLES', 'api,cook'],
    ['ENTROFLEET_ROLES', 'all,kubernetes'],
    ['ENTROFLEET_ROLES', 'api,kubernetes'],
    ['KUBERNETES_NAMESPACE', 'Not_a_name'],
    ['KUBERNETES_LEASE_SECONDS', '2'],
    ['SWEEP_INTERVAL_SECONDS', '0'],
    ['LOG_LEVEL', 'loud'],
    ['QUEUE_PREFIX', 'a:b'],
    ['SHUTDOWN_DELAY_SECONDS', '20'],
  ])('refuses %s=%s, naming it but not a password in it', (name, value) => {
    const read = () => readConfig({ [name]: value });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(name);
    expect(read).not.toThrow('secret');
  });
});

describe('helpText', () => {
  it('names every option with its default', () => {
    const help = helpText();
    for (const option of ['PORT (default: 8080)', 'DATABASE_URL\n', 'ENTROFLEET_ROLES (default']) {
      expect(help).toContain(option);
    }
    expect(help).not.toContain('undefined');
  });
});
