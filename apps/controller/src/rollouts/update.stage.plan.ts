import type { Desired, Device, Hold, Report } from '@entrofleet/protocol';

/**
 * How far a device has come with an artifact, as far as is known: it fetches it (or has not said
 * anything yet); it has it and has not stopped anything for it; it is at risk.
 */
export type UpdateStage = 'Download' | 'Activation' | 'AtRisk';

const STAGES: Partial<Record<Report['phase'], UpdateStage>> = {
  Verifying: 'Activation',
  Staged: 'Activation',
  Decoding: 'AtRisk',
  Testing: 'AtRisk',
  Activating: 'AtRisk',
};

/** Also from a report that is older than the last word to the device, to be on the safe side. */
export function stageOf(device: Device, artifactId: string): UpdateStage {
  const { report } = device.status;
  if (report === null || report.target?.artifactId !== artifactId) return 'Download';
  return STAGES[report.phase] ?? 'Download';
}

/** The device stands where it may go no further. */
export function isHeldAt(device: Device, asked: Desired): boolean {
  const hold: Hold = asked.hold ?? 'None';
  if (hold === 'None' || asked.target === null) return false;
  const stage = stageOf(device, asked.target.artifact.id);
  if (hold === 'Download') return stage === 'Download';
  return stage === 'Activation' && device.status.report?.phase === 'Staged';
}
