import {
  type Desired,
  type Device,
  type DeviceStatus,
  deviceSpecSchema,
  type Target,
} from '@entrofleet/protocol';
import { z } from 'zod';
import type { ObjectRow } from '../adapters/db.schema.ts';
import { metadataOf } from '../objects/object.store.ts';
import type { StoredTarget } from './target.store.ts';

/** A desired state as its row has it. */
export type StoredDesired = Omit<Desired, 'target'> & { readonly target: StoredTarget | null };

/** A status as its row has it; `lastSeen` is of the last write of the whole row. */
export type StoredStatus = Omit<DeviceStatus, 'desired'> & {
  readonly desired: StoredDesired | null;
};

/**
 * What a row holds was validated when it came in; doing so again for each of ten thousand devices
 * would cost more than everything else that is done with them.
 */
const storedStatusSchema = z.custom<StoredStatus>();

export interface DeviceRow {
  readonly row: ObjectRow;
  readonly status: StoredStatus;
}

export function deviceRow(row: ObjectRow): DeviceRow {
  return { row, status: storedStatusSchema.parse(row.status) };
}

/** What a device's row means, with what other tables hold of it. */
export function deviceOf(
  { row, status }: DeviceRow,
  held: { targets: ReadonlyMap<string, Target>; lastSeen: Date | null | undefined },
): Device {
  const { lastSeen } = held;
  const written = status.lastSeen;
  const isLater = lastSeen != null && (written === null || lastSeen > new Date(written));
  return {
    metadata: metadataOf(row),
    spec: deviceSpecSchema.parse(row.spec),
    status: {
      ...status,
      lastSeen: isLater ? lastSeen.toISOString() : written,
      desired: desiredOf(status.desired, held.targets),
    },
  };
}

function desiredOf(
  desired: StoredDesired | null,
  targets: ReadonlyMap<string, Target>,
): Desired | null {
  if (desired === null || desired.target === null) {
    return desired === null ? null : { ...desired, target: null };
  }
  const target = targets.get(desired.target.digest);
  if (target === undefined) throw new Error(`the row of target ${desired.target.digest} is gone`);
  return { ...desired, target };
}
