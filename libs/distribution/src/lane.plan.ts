import { type Listens, lanes } from '@entrofleet/protocol';
import { ByteRate } from './byte.rate.ts';
import { WANT_EXPIRY_MS } from './distribution.plan.ts';

/** Bytes in a second; 0: no limit. */
export interface Caps {
  /** What is published, whoever takes it. */
  readonly totalBytesPerSecond: number;
  /** What the devices of one site take together, each its own copy. */
  readonly siteBytesPerSecond: number;
  /** Instead of `siteBytesPerSecond`, by site. */
  readonly sites: Readonly<Record<string, number>>;
  /** What one device takes, unless its want-list names another cap. */
  readonly deviceBytesPerSecond: number;
}

export const NO_CAPS: Caps = {
  totalBytesPerSecond: 0,
  siteBytesPerSecond: 0,
  sites: {},
  deviceBytesPerSecond: 0,
};

export interface Listener {
  readonly device: string;
  readonly site?: string | undefined;
  readonly listens?: Listens | undefined;
  readonly bytesPerSecond?: number | undefined;
}

interface Account {
  readonly bytesPerSecond: number;
  readonly rate: ByteRate;
  /** When a want-list last named it. */
  wantedMs: number;
}

/** Accounts beyond which those that owe nothing are forgotten. */
const ACCOUNTS_MAX = 20_000;

/**
 * Decides on which lane a device is sent its chunks, and when a lane may be sent the next one.
 *
 * The broker hands what is published on a lane to everyone who listens there. So that a cap holds
 * on the wire, and holds nobody else up, who is capped gets a lane of its own: a capped device one
 * to itself, the others of a capped site one together. Each lane is charged to all whom it reaches.
 */
export class LanePlan {
  readonly #caps: Caps;
  readonly #total: ByteRate;
  readonly #accounts = new Map<string, Account>();
  /** Accounts that a lane is charged to, by lane; the shared lane is charged to none. */
  readonly #charged = new Map<string, readonly string[]>();

  constructor(caps: Caps) {
    this.#caps = caps;
    this.#total = new ByteRate(caps.totalBytesPerSecond);
  }

  /** The widest lane that the device hears and that its caps leave it. */
  laneFor(listener: Listener, nowMs: number): string {
    const { device, site, listens } = listener;
    // It hears the shared lane alone, so there is no way to keep a cap.
    if (listens === undefined) return lanes.shared;
    const deviceCap = listener.bytesPerSecond ?? this.#caps.deviceBytesPerSecond;
    const siteCap = site === undefined ? 0 : this.#siteCap(site);
    const siteLane = site === undefined ? undefined : lanes.site(site);
    const wantsOwn = deviceCap > 0 || listens === 'Device';
    const wantsSite = siteCap > 0 || listens === 'Site';
    if (!wantsOwn && (!wantsSite || siteLane === undefined)) return lanes.shared;
    const lane = wantsOwn || siteLane === undefined ? lanes.device(device) : siteLane;
    this.#forgetSettled(nowMs);
    const charged: string[] = [];
    if (siteCap > 0 && siteLane !== undefined) {
      charged.push(this.#account(siteLane, { bytesPerSecond: siteCap, nowMs }));
    }
    if (wantsOwn && deviceCap > 0) {
      charged.push(this.#account(lane, { bytesPerSecond: deviceCap, nowMs }));
    }
    this.#charged.set(lane, charged);
    return lane;
  }

  /** How long nothing at all may be published. */
  waitMs(nowMs: number): number {
    return this.#total.waitMs(nowMs);
  }

  /** How long nothing may be published on the lane. */
  laneWaitMs(lane: string, nowMs: number): number {
    let waitMs = 0;
    for (const rate of this.#ratesOf(lane)) waitMs = Math.max(waitMs, rate.waitMs(nowMs));
    return waitMs;
  }

  /** @param bytes of each copy; less than nothing takes back what was charged too much. */
  charge(chunk: { readonly lane: string; readonly takers: number }, bytes: number): void {
    this.#total.spend(bytes);
    for (const rate of this.#ratesOf(chunk.lane)) rate.spend(bytes * chunk.takers);
  }

  #siteCap(site: string): number {
    const { sites, siteBytesPerSecond } = this.#caps;
    return Object.hasOwn(sites, site) ? (sites[site] ?? 0) : siteBytesPerSecond;
  }

  #account(name: string, as: { bytesPerSecond: number; nowMs: number }): string {
    const { bytesPerSecond, nowMs } = as;
    const known = this.#accounts.get(name);
    if (known?.bytesPerSecond === bytesPerSecond) known.wantedMs = nowMs;
    else {
      const rate = new ByteRate(bytesPerSecond);
      this.#accounts.set(name, { bytesPerSecond, rate, wantedMs: nowMs });
    }
    return name;
  }

  *#ratesOf(lane: string): Generator<ByteRate> {
    for (const name of this.#charged.get(lane) ?? []) {
      const account = this.#accounts.get(name);
      if (account !== undefined) yield account.rate;
    }
  }

  /** Nobody wants anything on such a lane any more, and a full bucket tells what a new one does. */
  #forgetSettled(nowMs: number): void {
    if (this.#charged.size < ACCOUNTS_MAX) return;
    for (const [name, { rate, wantedMs }] of this.#accounts) {
      if (nowMs - wantedMs > WANT_EXPIRY_MS && rate.isFull(nowMs)) this.#accounts.delete(name);
    }
    for (const [lane, charged] of this.#charged) {
      if (!charged.some((name) => this.#accounts.has(name))) this.#charged.delete(lane);
    }
  }
}
