/** MQTT topics. Everything lives under this prefix; the version changes with the messages. */
export const TOPIC_PREFIX = 'entrofleet/v1';

/** Shared-subscription group of the distributors (MQTT 5, section 4.8.2). */
export const DISTRIBUTOR_GROUP = 'distributors';

export const topics = {
  desired: (device: string) => `${TOPIC_PREFIX}/d/${device}/desired`,
  report: (device: string) => `${TOPIC_PREFIX}/d/${device}/report`,
  presence: (device: string) => `${TOPIC_PREFIX}/d/${device}/presence`,
  want: (device: string) => `${TOPIC_PREFIX}/d/${device}/want`,
  chunk: (artifact: string, index: number) => `${TOPIC_PREFIX}/c/${artifact}/${index}`,
  chunksOf: (artifact: string) => `${TOPIC_PREFIX}/c/${artifact}/+`,
  everyReport: `${TOPIC_PREFIX}/d/+/report`,
  everyPresence: `${TOPIC_PREFIX}/d/+/presence`,
  sharedWants: `$share/${DISTRIBUTOR_GROUP}/${TOPIC_PREFIX}/d/+/want`,
} as const;

export type ParsedTopic =
  | { readonly kind: 'desired' | 'report' | 'presence' | 'want'; readonly device: string }
  | { readonly kind: 'chunk'; readonly artifact: string; readonly index: number };

const DEVICE_KINDS = ['desired', 'report', 'presence', 'want'] as const;

/** Reads a topic back, or gives `undefined` when it is none of ours. */
export function parseTopic(topic: string): ParsedTopic | undefined {
  if (!topic.startsWith(`${TOPIC_PREFIX}/`)) return undefined;
  const [family, id, last, ...rest] = topic.slice(TOPIC_PREFIX.length + 1).split('/');
  if (id === undefined || id === '' || last === undefined || rest.length > 0) return undefined;
  if (family === 'c') {
    if (!/^[0-9a-f]{64}$/.test(id) || !/^(0|[1-9]\d{0,7})$/.test(last)) return undefined;
    return { kind: 'chunk', artifact: id, index: Number(last) };
  }
  const kind = DEVICE_KINDS.find((k) => k === last);
  if (family !== 'd' || kind === undefined) return undefined;
  return { kind, device: id };
}
