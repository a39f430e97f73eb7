import type { DryRun } from '@entrofleet/client';
import { durationText, sizeText } from '../size.text.ts';
import { orDash, textTable, waveNumber } from './text.table.ts';

const DEVICE_TITLES = ['DEVICE', 'CLASS', 'OUTCOME', 'WAVE', 'VARIANT', 'FETCH', 'TIME', 'WHY'];
const WAVE_TITLES = ['WAVE', 'DEVICES', 'FETCH', 'PUBLISHED', 'TIME'];

/** What a dry run says: each device, each wave, the whole. */
export function planText({ accepted, items, waves, totals }: DryRun): string {
  const devices = items.map((item) => [
    item.device,
    item.hardwareClass,
    item.outcome,
    waveNumber(item.wave),
    orDash(item.variant),
    size(item.bytesToFetch),
    time(item.seconds),
    item.message,
  ]);
  const perWave = waves.map((wave) => [
    waveNumber(wave.wave),
    String(wave.devices),
    size(wave.bytesToFetch),
    size(wave.bytesPublished),
    time(wave.seconds),
  ]);
  const why = accepted.message === '' ? '' : `: ${accepted.message}`;
  return [
    accepted.status === 'Accepted' ? '' : `${accepted.status}, ${accepted.reason}${why}\n\n`,
    textTable([DEVICE_TITLES, ...devices]),
    '\n',
    textTable([WAVE_TITLES, ...perWave]),
    '\n',
    `${totals.updates} of ${totals.devices} devices would be updated, ${totals.active} are active ` +
      `already, ${totals.offline} offline, ${totals.left} left out; ` +
      `${size(totals.bytesToFetch)} to fetch, ${size(totals.bytesPublished)} to publish, ` +
      `in ${time(totals.seconds)}\n`,
  ].join('');
}

function size(bytes: number | null): string {
  return bytes === null ? '-' : sizeText(bytes);
}

function time(seconds: number | null): string {
  return seconds === null ? '-' : durationText(seconds);
}
