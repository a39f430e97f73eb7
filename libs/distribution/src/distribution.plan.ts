import { type Bitmap, LIMITS } from '@entrofleet/protocol';
import { FairTurns } from './fair.turns.ts';

/** What one device says it lacks of one artifact. */
export interface WantList {
  readonly device: string;
  readonly artifact: string;
  /** Transfer indices below this are the header's slices. */
  readonly headerChunks: number;
  /** Chunks that may be in flight towards the device. */
  readonly window: number;
  readonly lacking: Bitmap;
  /** Where the device is sent its chunks; the shared lane unless told. */
  readonly lane?: string;
  /** Of the largest chunk. */
  readonly chunkSizeBytes?: number;
  /** What can be published now, when that is not all of it; it may grow. */
  readonly available?: { has(index: number): boolean };
}

export interface NextChunk {
  readonly artifact: string;
  readonly index: number;
  readonly lane: string;
  /** At most. */
  readonly sizeBytes: number;
  /** Devices that get a copy, whether they lack it or not. */
  readonly takers: number;
}

/** A chunk on its way to one device. */
interface Flight {
  readonly order: number;
  readonly sentMs: number;
  /** Sent before the device asked; it may have listened already, so it may arrive. */
  readonly isAssumed: boolean;
}

interface DeviceFlow {
  readonly want: WantList;
  readonly wantedMs: number;
  readonly lacksHeader: boolean;
  readonly flights: Map<number, Flight>;
  /** Flights that take up the window. */
  counted: number;
  /** When assumed flights are no longer taken for granted. */
  assumedUntilMs: number;
  /** Nothing below it is left to send. */
  cursor: number;
}

/** An artifact on one lane. */
interface ArtifactFlow {
  readonly devices: Map<string, DeviceFlow>;
  /** Devices that may have room and lack something, in the order in which they get their turn. */
  readonly ready: Set<string>;
  /** Devices with assumed flights, the one that is first not to assume them any more first. */
  readonly assuming: Set<string>;
  /** What was sent a moment ago, oldest first. */
  readonly recent: { readonly index: number; readonly order: number; readonly sentMs: number }[];
  /** When devices that have gone are looked for again. */
  expiryMs: number;
}

interface ArtifactLanes {
  readonly flows: Map<string, ArtifactFlow>;
  readonly turns: FairTurns<string>;
}

/**
 * A want-list that still lacks what was sent so long ago means that it was lost, unless other
 * chunks have arrived since the one before: a broker hands out in order, so it waits its turn.
 */
export const GRACE_MS = 2000;
/**
 * A device listens before it asks, so what was sent just before its first want-list may be under
 * way to it. For so long that is taken for granted.
 */
export const ASSUMED_MS = 300;
/** So much longer than the agents' longest pause between want-lists that the device has gone. */
export const WANT_EXPIRY_MS = 120_000;
/** Devices that have gone are looked for no more often. */
const EXPIRY_PAUSE_MS = 1000;
/** A chunk overtaken by more than so many later ones is lost, not late. */
const REORDERED_CHUNKS = 3;

/**
 * Decides which chunk is published next. Each wanted chunk goes out once on a lane for all devices
 * there that lack it; a device with room in its window drives, slower ones receive along and ask
 * again for what they missed. Nothing is sent twice to a device unless a newer want-list shows that
 * it was lost. Artifacts get equal shares of the bytes, and lanes equal shares of their artifact's.
 *
 * All of this is memory of what was said lately: forgetting it costs duplicates, never a chunk.
 */
export class DistributionPlan {
  readonly #artifacts = new Map<string, ArtifactLanes>();
  readonly #turns = new FairTurns<string>();
  readonly #placeOf = new Map<string, { readonly artifact: string; readonly lane: string }>();
  #order = 0;
  /** When the first lane that may not be sent anything may be again. */
  #openMs = Number.POSITIVE_INFINITY;

  /** Takes in a want-list; it replaces the device's earlier one. */
  want(want: WantList, nowMs: number): void {
    const { device, artifact, lacking, lane = '' } = want;
    const place = this.#placeOf.get(device);
    // A device fetches one artifact at a time, on one lane.
    if (place !== undefined && (place.artifact !== artifact || place.lane !== lane)) {
      this.#leave(device, place);
    }
    if (lacking.count === 0) {
      this.#leave(device, { artifact, lane });
      return;
    }
    const flow = this.#flowOf(artifact, lane);
    const previous = flow.devices.get(device);
    const lacksHeader = firstLacking(lacking) < want.headerChunks;
    const flights = stillFlying(previous, lacking, nowMs);
    if (previous === undefined || (previous.lacksHeader && !lacksHeader)) {
      assumeRecent({ flow, flights, lacking, nowMs });
    }
    const counted = [...flights.values()].filter((flight) => !flight.isAssumed).length;
    const assumedUntilMs = counted === flights.size ? Number.POSITIVE_INFINITY : nowMs + ASSUMED_MS;
    flow.devices.set(device, {
      want,
      wantedMs: nowMs,
      lacksHeader,
      flights,
      counted,
      assumedUntilMs,
      cursor: 0,
    });
    this.#placeOf.set(device, { artifact, lane });
    flow.ready.add(device);
    flow.assuming.delete(device);
    if (Number.isFinite(assumedUntilMs)) flow.assuming.add(device);
  }

  /**
   * The chunk to publish now, or `undefined` when every window is full, nothing is lacking, or no
   * lane may be sent anything.
   * @param waitMs how long a lane may not be sent anything.
   */
  next(nowMs: number, waitMs: (lane: string) => number = () => 0): NextChunk | undefined {
    this.#openMs = Number.POSITIVE_INFINITY;
    for (const artifact of this.#turns.inTurn()) {
      const known = this.#artifacts.get(artifact);
      if (known === undefined) continue;
      for (const lane of known.turns.inTurn()) {
        const flow = known.flows.get(lane);
        if (flow === undefined) continue;
        for (const device of expire(flow, nowMs)) this.#placeOf.delete(device);
        const blockedMs = flow.ready.size === 0 ? 0 : waitMs(lane);
        if (blockedMs > 0) {
          this.#openMs = Math.min(this.#openMs, nowMs + blockedMs);
          continue;
        }
        const sent = this.#nextOf(flow, nowMs);
        if (sent === undefined) {
          this.#dropIfIdle({ artifact, lane });
          continue;
        }
        known.turns.spend(lane, sent.sizeBytes);
        this.#turns.spend(artifact, sent.sizeBytes);
        return { artifact, lane, takers: flow.devices.size, ...sent };
      }
    }
    return undefined;
  }

  /** When {@link next} should be asked again although nothing has happened, if ever. */
  wakeMs(): number | undefined {
    let earliestMs = this.#openMs;
    for (const flow of this.#flows()) {
      const [first = ''] = flow.assuming;
      const device = flow.devices.get(first);
      if (device !== undefined) earliestMs = Math.min(earliestMs, device.assumedUntilMs);
    }
    return Number.isFinite(earliestMs) ? earliestMs : undefined;
  }

  /** The chunk could not be published after all. */
  unsent(chunk: Pick<NextChunk, 'artifact' | 'index' | 'lane'>): void {
    const flow = this.#artifacts.get(chunk.artifact)?.flows.get(chunk.lane);
    for (const [name, device] of flow?.devices ?? []) {
      const flight = device.flights.get(chunk.index);
      if (flight === undefined) continue;
      flow?.ready.add(name);
      device.flights.delete(chunk.index);
      if (!flight.isAssumed) device.counted--;
      device.cursor = Math.min(device.cursor, chunk.index);
    }
  }

  /** More of the artifact is available than before. */
  grown(artifact: string): void {
    for (const flow of this.#artifacts.get(artifact)?.flows.values() ?? []) {
      for (const device of flow.devices.keys()) flow.ready.add(device);
    }
  }

  /** Whether some device lacks something of the artifact. */
  isWanted(artifact: string): boolean {
    const flows = [...(this.#artifacts.get(artifact)?.flows.values() ?? [])];
    return flows.some((flow) => flow.devices.size > 0);
  }

  /** Devices, and what each of them lacked when it last asked, in all. */
  get wanted(): { readonly devices: number; readonly chunks: number; readonly bytes: number } {
    const wanted = { devices: 0, chunks: 0, bytes: 0 };
    for (const { devices } of this.#flows()) {
      wanted.devices += devices.size;
      for (const { want } of devices.values()) {
        const { count } = want.lacking;
        wanted.chunks += count;
        wanted.bytes += count * (want.chunkSizeBytes ?? LIMITS.chunkSizeBytes);
      }
    }
    return wanted;
  }

  /** Forgets all that is wanted of an artifact, e.g. because it has gone. */
  forget(artifact: string): void {
    for (const flow of this.#artifacts.get(artifact)?.flows.values() ?? []) {
      for (const device of flow.devices.keys()) this.#placeOf.delete(device);
    }
    this.#artifacts.delete(artifact);
    this.#turns.delete(artifact);
  }

  *#flows(): Generator<ArtifactFlow> {
    for (const { flows } of this.#artifacts.values()) yield* flows.values();
  }

  #flowOf(artifact: string, lane: string): ArtifactFlow {
    const known = this.#artifacts.get(artifact) ?? { flows: new Map(), turns: new FairTurns() };
    const flow = known.flows.get(lane) ?? newFlow();
    this.#artifacts.set(artifact, known);
    this.#turns.add(artifact);
    known.flows.set(lane, flow);
    known.turns.add(lane);
    return flow;
  }

  #leave(device: string, place: { artifact: string; lane: string }): void {
    this.#placeOf.delete(device);
    const flow = this.#artifacts.get(place.artifact)?.flows.get(place.lane);
    if (flow !== undefined) drop(flow, device);
    this.#dropIfIdle(place);
  }

  #nextOf(
    flow: ArtifactFlow,
    nowMs: number,
  ): { readonly index: number; readonly sizeBytes: number } | undefined {
    for (const name of flow.ready) {
      // It goes to the end of the line, or waits until a want-list or a lost chunk gives it room.
      flow.ready.delete(name);
      const device = flow.devices.get(name);
      if (device === undefined || device.counted >= device.want.window) continue;
      const index = nextFor(device);
      if (index === undefined) continue;
      flow.ready.add(name);
      this.#send(flow, index, nowMs);
      return { index, sizeBytes: device.want.chunkSizeBytes ?? LIMITS.chunkSizeBytes };
    }
    return undefined;
  }

  #send(flow: ArtifactFlow, index: number, nowMs: number): void {
    const order = this.#order++;
    flow.recent.push({ index, order, sentMs: nowMs });
    for (const device of flow.devices.values()) {
      if (!takes(device, index)) continue;
      const known = device.flights.get(index);
      device.flights.set(index, { order, sentMs: nowMs, isAssumed: false });
      if (known === undefined || known.isAssumed) device.counted++;
    }
  }

  #dropIfIdle({ artifact, lane }: { artifact: string; lane: string }): void {
    const known = this.#artifacts.get(artifact);
    const flow = known?.flows.get(lane);
    // What was sent lately is still needed for devices that ask a moment later.
    if (known === undefined || flow === undefined) return;
    if (flow.devices.size > 0 || flow.recent.length > 0) return;
    known.flows.delete(lane);
    known.turns.delete(lane);
    if (known.flows.size > 0) return;
    this.#artifacts.delete(artifact);
    this.#turns.delete(artifact);
  }
}

function newFlow(): ArtifactFlow {
  return {
    devices: new Map(),
    ready: new Set(),
    assuming: new Set(),
    recent: [],
    expiryMs: Number.NEGATIVE_INFINITY,
  };
}

function drop(flow: ArtifactFlow, device: string): void {
  flow.ready.delete(device);
  flow.assuming.delete(device);
  flow.devices.delete(device);
}

function firstLacking(lacking: Bitmap): number {
  return lacking.indices().next().value ?? lacking.length;
}

/** Without the header a device cannot check payload, and may find most of it on its own disk. */
function takes(device: DeviceFlow, index: number): boolean {
  const { lacking, headerChunks } = device.want;
  return lacking.has(index) && (!device.lacksHeader || index < headerChunks);
}

function nextFor(device: DeviceFlow): number | undefined {
  const { lacking, available } = device.want;
  let isUnbroken = true;
  for (const index of lacking.indices(device.cursor)) {
    if (!takes(device, index)) return undefined;
    if (device.flights.has(index)) {
      if (isUnbroken) device.cursor = index + 1;
      continue;
    }
    if (available?.has(index) ?? true) return index;
    isUnbroken = false;
  }
  return undefined;
}

/** Flights that the newer want-list does not show to have arrived or to be lost. */
function stillFlying(
  previous: DeviceFlow | undefined,
  lacking: Bitmap,
  nowMs: number,
): Map<number, Flight> {
  const flights = new Map<number, Flight>();
  if (previous === undefined) return flights;
  let lastArrived = Number.NEGATIVE_INFINITY;
  for (const [index, { order }] of previous.flights) {
    if (!lacking.has(index)) lastArrived = Math.max(lastArrived, order);
  }
  const isMoving = Number.isFinite(lastArrived);
  for (const [index, flight] of previous.flights) {
    const isOvertaken = flight.order + REORDERED_CHUNKS < lastArrived;
    const isOld = !isMoving && nowMs - flight.sentMs >= GRACE_MS;
    if (lacking.has(index) && !isOvertaken && !isOld) flights.set(index, flight);
  }
  return flights;
}

function assumeRecent(on: {
  flow: ArtifactFlow;
  flights: Map<number, Flight>;
  lacking: Bitmap;
  nowMs: number;
}): void {
  for (const { index, order, sentMs } of on.flow.recent) {
    const isFresh = on.nowMs - sentMs < ASSUMED_MS;
    if (!isFresh || !on.lacking.has(index) || on.flights.has(index)) continue;
    on.flights.set(index, { order, sentMs, isAssumed: true });
  }
}

/** @returns devices that have gone. */
function expire(flow: ArtifactFlow, nowMs: number): string[] {
  const fresh = flow.recent.findIndex((sent) => nowMs - sent.sentMs < ASSUMED_MS);
  flow.recent.splice(0, fresh === -1 ? flow.recent.length : fresh);
  for (const name of flow.assuming) {
    const device = flow.devices.get(name);
    if (device !== undefined && nowMs < device.assumedUntilMs) break;
    flow.assuming.delete(name);
    if (device === undefined) continue;
    dropAssumed(device);
    flow.ready.add(name);
  }
  if (nowMs < flow.expiryMs) return [];
  flow.expiryMs = nowMs + EXPIRY_PAUSE_MS;
  const gone = [...flow.devices.values()].filter((d) => nowMs - d.wantedMs >= WANT_EXPIRY_MS);
  for (const { want } of gone) drop(flow, want.device);
  return gone.map(({ want }) => want.device);
}

function dropAssumed(device: DeviceFlow): void {
  device.assumedUntilMs = Number.POSITIVE_INFINITY;
  device.cursor = 0;
  for (const [index, { isAssumed }] of device.flights) {
    if (isAssumed) device.flights.delete(index);
  }
}
