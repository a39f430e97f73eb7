import type { Member } from '@entrofleet/protocol';
import { isSameJson } from '../objects/same.json.ts';
import { mapInSlices } from '../objects/sliced.work.ts';

/** A member as its row has it; positions are in the order in which members go, with gaps. */
export interface PlacedMember {
  readonly position: number;
  readonly member: Member;
}

export interface MemberChanges {
  readonly written: readonly PlacedMember[];
  /** Devices that are members no longer. */
  readonly removed: readonly string[];
}

/**
 * The rows to write so that the members are `after`, in that order. A member keeps its position as
 * long as the order allows it, so that news of one device changes one row.
 */
export async function memberChanges(
  before: readonly PlacedMember[],
  after: readonly Member[],
): Promise<MemberChanges> {
  const known = new Map(before.map((placed) => [placed.member.device, placed]));
  const written: PlacedMember[] = [];
  let last = -1;
  let highest = before.at(-1)?.position ?? -1;
  await mapInSlices(after, (member) => {
    const was = known.get(member.device);
    known.delete(member.device);
    const position =
      was === undefined ? Math.max(last, highest) + 1 : Math.max(was.position, last + 1);
    last = position;
    highest = Math.max(highest, position);
    if (was?.position === position && isSameJson(was.member, member)) return;
    written.push({ position, member });
  });
  return { written, removed: [...known.keys()] };
}
