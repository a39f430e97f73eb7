import { NO_CAPS } from '@entrofleet/distribution';
import { lanes, WELL_KNOWN_LABELS } from '@entrofleet/protocol';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startAgentFromSource } from '../support/agent.process.ts';
import { type EncodedModel, encodeTinyModel } from '../support/encoded.model.ts';
import { ScriptedSite } from '../support/scripted.site.ts';
import { startMosquitto } from '../support/services.ts';

const AT_SITE = ['edge-1', 'edge-2'];
const FREE = 'edge-3';
const SLOW = 'edge-4';
/** The capped devices' slowest copy takes this long. */
const COPY_SECONDS = 4;

let model: EncodedModel;
beforeAll(async () => {
  model = await encodeTinyModel({ model: 'first', seed: 1, chunkSizeBytes: 8192 });
});
afterAll(() => model.source.close());

it('keeps the caps of a site and of a device and lets the others go ahead', async () => {
  const { sizeBytes } = model.target.artifact;
  const bytesPerSecond = Math.round(sizeBytes / COPY_SECONDS);
  const broker = await startMosquitto();
  const caps = { ...NO_CAPS, sites: { plant: AT_SITE.length * bytesPerSecond } };
  const controller = await ScriptedSite.connect({ url: broker.url, caps });
  const { site, downloadBytesPerSecond } = WELL_KNOWN_LABELS;
  const labelsOf: Record<string, string> = {
    ...Object.fromEntries(AT_SITE.map((device) => [device, `${site}=plant`])),
    [SLOW]: `${downloadBytesPerSecond}=${bytesPerSecond}`,
  };
  const all = [...AT_SITE, SLOW, FREE];
  for (const device of all) {
    const environment = { ENTROFLEET_LABELS: labelsOf[device] ?? '', THREADS: '1' };
    await startAgentFromSource({ device, mqttUrl: broker.url, environment });
  }
  await controller.want(all, model);
  await controller.converged([FREE], model);
  for (const device of [...AT_SITE, SLOW]) {
    expect(controller.reports.get(device)?.phase).toBe('Downloading');
  }
  await controller.converged(all, model);
  for (const [lane, devices] of [
    [lanes.site('plant'), AT_SITE],
    [lanes.device(SLOW), [SLOW]],
    [lanes.shared, [FREE]],
  ] as const) {
    const there = controller.published.filter((chunk) => chunk.lane === lane);
    const bytes = there.reduce((sum, chunk) => sum + chunk.sizeBytes, 0);
    expect(bytes).toBeGreaterThan(0.5 * sizeBytes);
    expect(bytes).toBeLessThanOrEqual(1.1 * sizeBytes);
    if (lane === lanes.shared) continue;
    const seconds = ((there.at(-1)?.atMs ?? 0) - (there[0]?.atMs ?? 0)) / 1000;
    const taken = there.reduce((sum, chunk) => sum + chunk.sizeBytes * chunk.takers, 0);
    // The burst of a second comes on top.
    expect(taken).toBeLessThanOrEqual((seconds + 1.1) * devices.length * bytesPerSecond);
  }
});
