import { Bitmap, parseTopic, type Want, wantSchema } from '@entrofleet/protocol';
import { BadMessage, read } from '../devices/device.messages.ts';
import { messageOf } from '../errors.ts';

export interface ReceivedWant {
  readonly want: Want;
  readonly lacking: Bitmap;
}

/**
 * Reads a want-list.
 * @returns `undefined` for a topic of something else.
 * @throws BadMessage when it is too large, malformed, or speaks for another device.
 */
export function readWant(topic: string, payload: Uint8Array): ReceivedWant | undefined {
  const parsed = parseTopic(topic);
  if (parsed?.kind !== 'want') return undefined;
  const want = read(wantSchema, parsed.device, payload);
  try {
    const bytes = Buffer.from(want.lacking, 'base64');
    return { want, lacking: Bitmap.fromBytes(bytes, want.chunkCount) };
  } catch (error) {
    throw new BadMessage(parsed.device, `lacking: ${messageOf(error)}`);
  }
}
