import type { Report } from './messages.ts';
import type { Labels } from './names.ts';

/** Labels that entrofleet itself reads. */
export const WELL_KNOWN_LABELS = {
  /** Devices that can be compared with each other; overrides what the readings say. */
  hardwareClass: 'entrofleet.io/hardware-class',
  /** Devices behind one uplink. */
  site: 'entrofleet.io/site',
  /** Most chunk bytes in a second that the device takes, whatever the controller's default. */
  downloadBytesPerSecond: 'entrofleet.io/download-bytes-per-second',
} as const;

/** Devices of one class compute alike: its label, else accelerator, processor or architecture. */
export function hardwareClassOf(device: {
  readonly labels: Labels;
  readonly capabilities: Report['capabilities'] | undefined;
}): string {
  const label = device.labels[WELL_KNOWN_LABELS.hardwareClass];
  if (label !== undefined && label !== '') return label;
  const { capabilities } = device;
  if (capabilities === undefined) return 'unknown';
  return capabilities.accelerator ?? capabilities.cpuModel ?? capabilities.architecture;
}
