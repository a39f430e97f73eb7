import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { native } from '@entrofleet/native';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../deploy/private/loopback.port.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { startAgentFromSource } from '../support/agent.process.ts';
import { eventually } from '../support/eventually.ts';

const WATCHDOG_MS = 900;
const BLOCKED_MS = 4000;
/** Node has no datagram sockets of this kind: Python stands in for the service manager. */
const RECEIVER = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', '\\0', 1))
print('"bound"', flush=True)
while True: print(json.dumps(s.recv(65536).decode()), flush=True)`;
const BLOCKS_ON_SIGNAL = `data:text/javascript,process.on('SIGUSR2', () => Atomics.wait(
  new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${BLOCKED_MS}));`;

const hasPython = spawnSync('python3', ['--version']).status === 0;
if (!hasPython) console.warn('SKIPPED: the agent and its service manager: no python3');

interface Manager {
  readonly socketPath: string;
  /** Assignments in the order they came. */
  readonly heard: string[];
  count(word: string): number;
}

async function startManager(socketPath: string): Promise<Manager> {
  const receiver = spawn('python3', ['-c', RECEIVER, socketPath], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    receiver.kill();
    await once(receiver, 'exit');
  });
  const heard: string[] = [];
  const lines = createInterface({ input: receiver.stdout });
  await once(lines, 'line');
  lines.on('line', (line) => heard.push(...String(JSON.parse(line)).split('\n')));
  return { socketPath, heard, count: (word) => heard.filter((w) => w === word).length };
}

const heardOf = (manager: Manager, word: string, times = 1): Promise<true> =>
  eventually(word, () => (manager.count(word) >= times ? true : undefined));

test.skipIf(!hasPython)(
  'the service manager hears that the agent is ready, lives and ends',
  {
    timeout: 90_000,
  },
  async () => {
    const manager = await startManager(join(await temporaryFolder('manager'), 'notify'));
    const agent = await startAgentFromSource({
      device: 'watched',
      mqttUrl: `mqtt://127.0.0.1:${await freePort()}`,
      imports: [BLOCKS_ON_SIGNAL.replaceAll('\n', '')],
      environment: {
        NOTIFY_SOCKET: manager.socketPath,
        WATCHDOG_USEC: String(WATCHDOG_MS * 1000),
      },
    });
    await heardOf(manager, 'READY=1');
    await heardOf(manager, 'STATUS=no model to serve yet');
    await heardOf(manager, 'WATCHDOG=1', 4);
    // when its event loop is blocked, which the manager may only learn by hearing nothing
    process.kill(agent.process.pid, 'SIGUSR2');
    await eventually('the agent answers no more', () =>
      fetch(`${agent.url}/healthz`, { signal: AbortSignal.timeout(500) }).then(
        () => undefined,
        () => true as const,
      ),
    );
    const heard = manager.count('WATCHDOG=1');
    const silentSinceMs = performance.now();
    await heardOf(manager, 'WATCHDOG=1', heard + 1);
    expect(performance.now() - silentSinceMs).toBeGreaterThan(2 * WATCHDOG_MS);
    // and then it goes on, and ends when it is asked to
    await heardOf(manager, 'WATCHDOG=1', heard + 3);
    await agent.process.stop();
    await heardOf(manager, 'STOPPING=1');
    expect(manager.count('READY=1')).toBe(1);
    expect(manager.heard.indexOf('STOPPING=1')).toBeGreaterThan(
      manager.heard.lastIndexOf('WATCHDOG=1'),
    );
  },
);

test.skipIf(!hasPython)('a word reaches an abstract socket too', async () => {
  const manager = await startManager(`@entrofleet-${process.pid}`);
  native.notifyService({ socketPath: manager.socketPath, message: 'READY=1\nSTATUS=here' });
  await heardOf(manager, 'STATUS=here');
  expect(manager.heard).toEqual(['READY=1', 'STATUS=here']);
});

test('a word that cannot be said is an error that names the socket', async () => {
  const socketPath = join(await temporaryFolder('nobody'), 'notify');
  const say = (path: string) => () =>
    native.notifyService({ socketPath: path, message: 'READY=1' });
  expect(say(socketPath)).toThrow(
    expect.objectContaining({ code: 'NotNotified', message: expect.stringContaining(socketPath) }),
  );
  for (const path of ['', 'relative', `/${'x'.repeat(107)}`]) {
    expect(say(path)).toThrow(expect.objectContaining({ code: 'BadArgument' }));
  }
});
