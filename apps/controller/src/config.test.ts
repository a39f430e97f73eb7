import { describe, expect, it } from 'vitest';
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
