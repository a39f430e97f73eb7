import {
  type ArtifactRef,
  Bitmap,
  LIMITS,
  parseTopic,
  type Want,
  wantSchema,
} from '@entrofleet/protocol';

export interface RelayedWant {
  readonly want: Want;
  readonly ref: ArtifactRef;
  readonly lacking: Bitmap;
}

/**
 * Reads a neighbour's want-list.
 * @returns `undefined` for one that is not meant for a relay.
 * @throws an error that says what is wrong with it.
 */
export function readRelayedWant(topic: string, payload: Uint8Array): RelayedWant | undefined {
  const parsed = parseTopic(topic);
  if (parsed?.kind !== 'want') return undefined;
  if (payload.length > LIMITS.messageBytes) {
    throw new RangeError(`${payload.length} bytes from ${parsed.device}`);
  }
  const want = wantSchema.parse(JSON.parse(Buffer.from(payload).toString()));
  const { ref } = want;
  if (ref === undefined) return undefined;
  const isWhole = ref.id === want.artifact && ref.chunkCount === want.chunkCount;
  if (want.device !== parsed.device || !isWhole) {
    throw new RangeError(`${parsed.device} contradicts itself about ${want.artifact}`);
  }
  const bytes = Buffer.from(want.lacking, 'base64');
  return { want, ref, lacking: Bitmap.fromBytes(bytes, want.chunkCount) };
}
