import type { Device, Member, Strategy } from '@entrofleet/protocol';

export interface Placed {
  readonly device: Device;
  readonly previous: Member | undefined;
}

/**
 * The devices in the order in which they go. Known members keep their place, so that a device that
 * joins late goes last, whatever its name; new ones go by the strategy's label, then by name.
 */
export function inOrder(
  devices: readonly Device[],
  members: readonly Member[],
  order: Strategy['order'],
): Placed[] {
  const place = new Map(members.map((member, index) => [member.device, index]));
  const rank = new Map(order?.values.map((value, index) => [value, index]));
  return devices
    .map((device) => {
      const { name, labels } = device.metadata;
      const at = place.get(name);
      const value = order === null ? undefined : labels[order.label];
      const last = rank.size;
      return {
        device,
        name,
        place: at ?? members.length,
        rank: at !== undefined || value === undefined ? last : (rank.get(value) ?? last),
        previous: at === undefined ? undefined : members[at],
      };
    })
    .sort((a, b) => a.place - b.place || a.rank - b.rank || (a.name < b.name ? -1 : 1))
    .map(({ device, previous }) => ({ device, previous }));
}
