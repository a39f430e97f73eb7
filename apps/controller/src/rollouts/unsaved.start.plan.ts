import type { Device, Member, Target } from '@entrofleet/protocol';
import type { RolloutFacts } from './rollout.types.ts';

/**
 * When this rollout asked the device for a target that it is not known to have run before. Such a
 * device has not run it all along, so it must prove itself like any other.
 */
export function unsavedStart(
  { rollout }: Pick<RolloutFacts, 'rollout'>,
  of: { device: Device; target: Target; member: Member | undefined },
): string | null {
  const { id } = of.target.artifact;
  if (!isAskedByUs(rollout, of.device, id)) return null;
  const isKnown = of.member?.artifactId === id && of.member.activatedAt !== null;
  return isKnown ? null : (of.device.status.desired?.issuedAt ?? null);
}

/**
 * What the device ran when this rollout asked it for the artifact; `undefined`: it did not, or it
 * was not written down. Once the device runs the artifact, nothing but this tells what it ran
 * before: the member need not have been saved.
 */
export function previousWhenAsked(
  { rollout }: Pick<RolloutFacts, 'rollout'>,
  device: Device,
  artifactId: string,
): Member['previous'] | undefined {
  return isAskedByUs(rollout, device, artifactId) ? device.status.previous : undefined;
}

/** A rollout of the same name may have been there before this one. */
function isAskedByUs(
  { metadata }: RolloutFacts['rollout'],
  { status: { desired } }: Device,
  artifactId: string,
): boolean {
  if (desired?.rollout !== metadata.name || desired.target?.artifact.id !== artifactId) {
    return false;
  }
  return desired.issuedAt >= metadata.creationTimestamp;
}
