import { describe, expect, it } from 'vitest';
import { helpText, readConfig } from './config.ts';

describe('options', () => {
  it('have defaults, and an empty variable counts as absent', () => {
    const config = readConfig({ ENTROFLEET_DEVICE: 'edge-1', PORT: '', THREADS: '' });
    expect(config).toMatchObject({
      device: 'edge-1',
      labels: {},
      mqttUrl: 'mqtt://127.0.0.1:1883',
      host: '127.0.0.1',
      port: 8081,
      windowChunks: 32,
      measureIntervalMs: 300_000,
      memoryBudgetBytes: null,
    });
    expect(config.threads).toBeGreaterThan(0);
  });

  it('are read from the environment', () => {
    const config = readConfig({
      ENTROFLEET_DEVICE: 'edge-1',
      ENTROFLEET_LABELS: 'site=berlin, gpu=orin,empty=,',
      ENTROFLEET_DATA_DIR: '/data/../data/agent',
      MQTT_URL: 'mqtts://user:secret@broker:8883',
      PORT: '0',
      REPORT_INTERVAL_SECONDS: '5',
      DISK_MARGIN_MIB: '1',
    });
    expect(config).toMatchObject({
      labels: { site: 'berlin', gpu: 'orin', empty: '' },
      dataFolder: '/data/agent',
      port: 0,
      reportIntervalMs: 5000,
      diskMarginBytes: 1024 * 1024,
    });
  });

  it.each([
    ['ENTROFLEET_DEVICE', 'Edge 1'],
    ['ENTROFLEET_LABELS', 'a b=c'],
    ['MQTT_URL', 'http://broker'],
    ['MQTT_URL', 'broker'],
    ['PORT', '70000'],
    ['PORT', 'http'],
    ['THREADS', '0'],
    ['LOG_LEVEL', 'loud'],
  ])('are refused by name: %s=%s', (name, value) => {
    const read = () => readConfig({ ENTROFLEET_DEVICE: 'edge-1', [name]: value });
    expect(read).toThrow(expect.objectContaining({ reason: 'BadConfiguration' }));
    expect(read).toThrow(name);
  });

  it('are all explained by --help', () => {
    const help = helpText('1.2.3');
    for (const name of ['ENTROFLEET_DEVICE', 'MQTT_URL', 'THREADS', 'HTTP_QUEUE']) {
      expect(help).toContain(name);
    }
  });
});
