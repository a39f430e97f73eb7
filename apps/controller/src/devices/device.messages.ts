import {
  LIMITS,
  type Presence,
  parseTopic,
  presenceSchema,
  type Report,
  reportSchema,
} from '@entrofleet/protocol';
import type { z } from 'zod';
import { messageOf } from '../errors.ts';

export type DeviceMessage =
  | { readonly kind: 'report'; readonly message: Report }
  | { readonly kind: 'presence'; readonly message: Presence };

/** A message that is dropped; `device` is the one its topic names. */
export class BadMessage extends Error {
  readonly reason = 'BadMessage';
  readonly device: string;

  constructor(device: string, message: string) {
    super(message);
    this.name = 'BadMessage';
    this.device = device;
  }
}

/**
 * Reads what a device published.
 * @returns `undefined` for a topic of something else, and for a retained message taken back.
 * @throws BadMessage when it is too large, malformed, or speaks for another device.
 */
export function readDeviceMessage(topic: string, payload: Uint8Array): DeviceMessage | undefined {
  const parsed = parseTopic(topic);
  if (parsed === undefined || parsed.kind === 'chunk' || payload.length === 0) return undefined;
  const { kind, device } = parsed;
  if (kind === 'report') return { kind, message: read(reportSchema, device, payload) };
  if (kind === 'presence') return { kind, message: read(presenceSchema, device, payload) };
  return undefined;
}

/**
 * Reads a JSON message that names its device.
 * @throws BadMessage
 */
export function read<T extends { device: string }>(
  schema: z.ZodType<T>,
  device: string,
  payload: Uint8Array,
): T {
  if (payload.length > LIMITS.messageBytes) {
    throw new BadMessage(device, `${payload.length} bytes; at most ${LIMITS.messageBytes}`);
  }
  const parsed = schema.safeParse(parseJson(device, payload));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new BadMessage(device, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
  }
  if (parsed.data.device === device) return parsed.data;
  throw new BadMessage(device, `it speaks for device "${parsed.data.device}"`);
}

function parseJson(device: string, payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (error) {
    throw new BadMessage(device, `not JSON: ${messageOf(error)}`);
  }
}
