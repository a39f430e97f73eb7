/** MQTT topics. Everything lives under this prefix; the version changes with the messages. */
export const TOPIC_PREFIX = 'entrofleet/v1';

/** Shared-subscription group of the distributors (MQTT 5, section 4.8.2). */
export const DISTRIBUTOR_GROUP = 'distributors';

/**
 * Where chunks are published: to all who fetch the artifact, or, so that caps can be kept, to those
 * of one site or to one device alone.
 */
export const lanes = {
  shared: '',
  site: (site: string) => `s/${site}`,
  device: (device: string) => `d/${device}`,
} as const;

export const topics = {
  desired: (device: string) => `${TOPIC_PREFIX}/d/${device}/desired`,
  report: (device: string) => `${TOPIC_PREFIX}/d/${device}/report`,
  presence: (device: string) => `${TOPIC_PREFIX}/d/${device}/presence`,
  want: (device: string) => `${TOPIC_PREFIX}/d/${device}/want`,
  /** @param lane of {@link lanes}, the shared one unless told. */
  chunk: (artifact: string, index: number, lane = '') => `${chunkFolder(artifact, lane)}/${index}`,
  chunksOf: (artifact: string, lane = '') => `${chunkFolder(artifact, lane)}/+`,
  /** Retained at a site's own broker. */
  relay: `${TOPIC_PREFIX}/relay`,
  everyWant: `${TOPIC_PREFIX}/d/+/want`,
  everyReport: `${TOPIC_PREFIX}/d/+/report`,
  everyPresence: `${TOPIC_PREFIX}/d/+/presence`,
  sharedWants: `$share/${DISTRIBUTOR_GROUP}/${TOPIC_PREFIX}/d/+/want`,
} as const;

export type ParsedTopic =
  | { readonly kind: 'desired' | 'report' | 'presence' | 'want'; readonly device: string }
  | {
      readonly kind: 'chunk';
      readonly artifact: string;
      readonly index: number;
      /** One of {@link lanes}. */
      readonly lane: string;
    };

const DEVICE_KINDS = ['desired', 'report', 'presence', 'want'] as const;

/** Reads a topic back, or gives `undefined` when it is none of ours. */
export function parseTopic(topic: string): ParsedTopic | undefined {
  if (!topic.startsWith(`${TOPIC_PREFIX}/`)) return undefined;
  const parts = topic.slice(TOPIC_PREFIX.length + 1).split('/');
  if (parts.length === 5 && (parts[0] === 's' || parts[0] === 'd') && parts[1] !== '') {
    return chunkOf(parts.slice(2), `${parts[0]}/${parts[1]}`);
  }
  const [family, device, last] = parts;
  if (parts.length !== 3 || device === undefined || device === '') return undefined;
  if (family === 'c') return chunkOf(parts, lanes.shared);
  const kind = DEVICE_KINDS.find((k) => k === last);
  if (family !== 'd' || kind === undefined) return undefined;
  return { kind, device };
}

function chunkOf([family, id = '', last = '']: string[], lane: string): ParsedTopic | undefined {
  if (family !== 'c' || !/^[0-9a-f]{64}$/.test(id) || !/^(0|[1-9]\d{0,7})$/.test(last)) {
    return undefined;
  }
  return { kind: 'chunk', artifact: id, index: Number(last), lane };
}

function chunkFolder(artifact: string, lane: string): string {
  return `${TOPIC_PREFIX}/${lane === '' ? '' : `${lane}/`}c/${artifact}`;
}
