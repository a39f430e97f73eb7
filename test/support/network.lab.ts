import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ENVIRONMENT = {
  ...process.env,
  PATH: `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`,
};
const PREFIX = 'entrofleet-';
const SUBNET = '10.213';
/** The highest number of a device, which is left to the probe. */
const PROBE = 255;
/** tc's action codes: a packet that is dropped, and one that goes on. */
const TC_ACT_SHOT = 2;
const TC_ACT_OK = 0;

/** What a line does to packets; what is left out is as good as it gets. */
export interface LineCondition {
  readonly bitsPerSecond?: number;
  /** Of 100 packets, in both directions. */
  readonly lossPercent?: number;
  readonly delayMs?: number;
}

/** What this kernel can do to packets. */
export interface NetworkAbilities {
  readonly netem: boolean;
  readonly rate: boolean;
  readonly loss: boolean;
}

/** A network namespace with one line to this machine that can be bad, and one that never is. */
export interface NetworkedDevice {
  readonly namespace: string;
  /** This machine, seen over the line that can be bad. */
  readonly hostAddress: string;
  /** The device, reached over the line that is always good. */
  readonly controlAddress: string;
  /** @throws when the kernel cannot do it. */
  shape(condition: LineCondition): Promise<void>;
  /** Down, packets vanish and nobody is told, as when a cable is pulled. */
  setUp(isUp: boolean): Promise<void>;
}

export interface NetworkLab {
  readonly abilities: NetworkAbilities;
  /** In words, for whoever reads the test's output. */
  readonly summary: string;
  addDevice(): Promise<NetworkedDevice>;
  close(): Promise<void>;
}

/** @returns `undefined` where this process may not make network namespaces; root may. */
export async function openNetworkLab(): Promise<NetworkLab | undefined> {
  await removeForgotten();
  const namespaces: string[] = [];
  let number = 0;
  const close = async () => {
    for (const name of namespaces.splice(0)) await ip('netns', 'del', name);
  };
  try {
    const probe = await addDevice(namespaces, PROBE);
    const abilities = await probeAbilities(probe.namespace);
    return {
      abilities,
      summary: summaryOf(abilities),
      addDevice: async () => {
        const device = await addDevice(namespaces, number++);
        return { ...device, shape: (condition) => shape(device, condition, abilities) };
      },
      close,
    };
  } catch {
    await close();
    return undefined;
  }
}

interface Device extends NetworkedDevice {
  /** Names of the two ends of the line that can be bad, here and in the namespace. */
  readonly ends: { readonly here: string; readonly there: string };
}

async function addDevice(namespaces: string[], number: number): Promise<Device> {
  const namespace = `${PREFIX}${process.pid}-${number}`;
  await ip('netns', 'add', namespace);
  namespaces.push(namespace);
  await ip('-n', namespace, 'link', 'set', 'lo', 'up');
  const line = await addLine({ namespace, number, kind: 'l', offset: 0 });
  const control = await addLine({ namespace, number, kind: 'c', offset: 4 });
  return {
    namespace,
    hostAddress: line.hostAddress,
    controlAddress: control.deviceAddress,
    ends: line.ends,
    shape: () => Promise.resolve(),
    setUp: (isUp) => ip('link', 'set', line.ends.here, isUp ? 'up' : 'down'),
  };
}

async function addLine(of: { namespace: string; number: number; kind: 'l' | 'c'; offset: number }) {
  const { namespace, number, kind, offset } = of;
  // The kernel takes names of up to 15 bytes.
  const ends = { here: `ef${kind}${process.pid}-${number}`, there: `uplink-${kind}` };
  const [hostAddress, deviceAddress] = [1, 2].map((n) => `${SUBNET}.${number}.${offset + n}`);
  const peer = ['peer', 'name', ends.there, 'netns', namespace];
  await ip('link', 'add', ends.here, 'type', 'veth', ...peer);
  await ip('addr', 'add', `${hostAddress}/30`, 'dev', ends.here);
  await ip('link', 'set', ends.here, 'up');
  await ip('-n', namespace, 'addr', 'add', `${deviceAddress}/30`, 'dev', ends.there);
  await ip('-n', namespace, 'link', 'set', ends.there, 'up');
  return { ends, hostAddress: hostAddress ?? '', deviceAddress: deviceAddress ?? '' };
}

async function probeAbilities(namespace: string): Promise<NetworkAbilities> {
  const dev = ['dev', 'uplink-l'];
  const works = (...options: string[]) =>
    tc('-n', namespace, ...options).then(
      () => true,
      () => false,
    );
  const netem = await works('qdisc', 'replace', ...dev, 'root', 'netem', 'delay', '1ms');
  const rate = await works('qdisc', 'replace', ...dev, 'root', ...tokenBucket(1_000_000));
  const ingress = await works('qdisc', 'replace', ...dev, 'clsact');
  const loss = ingress && (await works('filter', 'add', ...dev, 'ingress', ...randomDrop(1)));
  return { netem, rate: netem || rate, loss: netem || loss };
}

function summaryOf({ netem, rate, loss }: NetworkAbilities): string {
  if (netem) return 'network namespaces, veth and tc netem: loss, delay and rate in the kernel';
  return (
    'network namespaces and veth, but this kernel has NO netem: ' +
    `rate ${rate ? 'by tc tbf' : 'NOT POSSIBLE'}, ` +
    `loss ${loss ? 'by a random drop in BPF (tc clsact)' : 'NOT POSSIBLE'}, ` +
    'delay only in userspace (faulty.link.ts)'
  );
}

/** Each end drops what arrives there; the rate holds towards the device and back. */
async function shape(
  { namespace, ends }: Device,
  condition: LineCondition,
  abilities: NetworkAbilities,
): Promise<void> {
  const { bitsPerSecond, lossPercent = 0, delayMs = 0 } = condition;
  if (delayMs > 0 && !abilities.netem) throw new Error('delay needs netem, which is missing');
  for (const side of [
    ['dev', ends.here],
    ['-n', namespace, 'dev', ends.there],
  ]) {
    const at = side.slice(0, -2);
    const dev = side.slice(-2);
    await tc(...at, 'qdisc', 'del', ...dev, 'root').catch(() => undefined);
    await tc(...at, 'qdisc', 'del', ...dev, 'clsact').catch(() => undefined);
    if (abilities.netem) {
      const rate = bitsPerSecond === undefined ? [] : ['rate', `${bitsPerSecond}`];
      const netem = ['netem', 'delay', `${delayMs}ms`, 'loss', `${lossPercent}%`, ...rate];
      await tc(...at, 'qdisc', 'add', ...dev, 'root', ...netem);
      continue;
    }
    if (bitsPerSecond !== undefined) {
      await tc(...at, 'qdisc', 'add', ...dev, 'root', ...tokenBucket(bitsPerSecond));
    }
    if (lossPercent > 0) {
      await tc(...at, 'qdisc', 'add', ...dev, 'clsact');
      await tc(...at, 'filter', 'add', ...dev, 'ingress', ...randomDrop(lossPercent));
    }
  }
}

function tokenBucket(bitsPerSecond: number): string[] {
  return ['tbf', 'rate', `${bitsPerSecond}bit`, 'burst', '32kb', 'latency', '300ms'];
}

/**
 * A classic BPF program of four instructions (opcode, jump if true, jump if false, operand): load a
 * random word, compare, drop or pass. It needs no compiler and no module but the classifier.
 */
function randomDrop(percent: number): string[] {
  const LOAD_ABSOLUTE = 32;
  const JUMP_IF_AT_LEAST = 53;
  const RETURN = 6;
  /** SKF_AD_OFF + SKF_AD_RANDOM of linux/filter.h, as an unsigned word. */
  const RANDOM = 2 ** 32 - 0x1000 + 56;
  const threshold = Math.round((percent / 100) * 2 ** 32);
  const program = [
    [LOAD_ABSOLUTE, 0, 0, RANDOM],
    [JUMP_IF_AT_LEAST, 1, 0, threshold],
    [RETURN, 0, 0, TC_ACT_SHOT],
    [RETURN, 0, 0, TC_ACT_OK],
  ];
  const words = program.map((instruction) => instruction.join(' '));
  return ['bpf', 'direct-action', 'bytecode', [program.length, ...words].join(',')];
}

async function ip(...options: string[]): Promise<void> {
  await run('ip', options, { env: ENVIRONMENT });
}

async function tc(...options: string[]): Promise<void> {
  await run('tc', options, { env: ENVIRONMENT });
}

/** A test that was killed could not remove its namespaces; the name tells whose each is. */
async function removeForgotten(): Promise<void> {
  const list = await run('ip', ['netns', 'list'], { env: ENVIRONMENT }).catch(() => undefined);
  for (const line of list?.stdout.split('\n') ?? []) {
    const [name = ''] = line.split(' ');
    if (!name.startsWith(PREFIX)) continue;
    const [pid = ''] = name.slice(PREFIX.length).split('-');
    const owner = await readFile(`/proc/${pid}/comm`).catch(() => undefined);
    if (owner === undefined) await ip('netns', 'del', name).catch(() => undefined);
  }
}
