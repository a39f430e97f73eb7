// What loading an artifact takes beside reading its file, as JSON: `make bench-load
// ARTIFACT=model.efa`. Each form is loaded in a process of its own: with the file in the page cache
// and without, and with its chunks trusted, which leaves hashing out. `disk` reads, hashes and
// decodes everything and keeps nothing, so what a form takes beyond it is packing and new memory.
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { openArtifact } from '@entrofleet/artifact';
import { native } from '@entrofleet/native';

const FORMS = ['disk', 'coded', 'window', 'plain'] as const;
type Form = (typeof FORMS)[number];

const { values } = parseArgs({
  options: {
    artifact: { type: 'string' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    /** Set for the processes that load. */
    form: { type: 'string' },
    trusted: { type: 'boolean', default: false },
  },
});

interface LoadFigures {
  readonly wallMs: number;
  readonly userMs: number;
  readonly systemMs: number;
}

async function loadOnce(path: string, form: Form): Promise<LoadFigures> {
  const reader = await openArtifact(path);
  const requests = reader.codedMatrices.map(({ name, rows }) => {
    return { name, form, parts: [{ firstRow: 0, rows }] };
  });
  const before = process.cpuUsage();
  const startMs = performance.now();
  const loaded = await reader.loadMatrices(requests, {
    threads: Number(values.threads),
    trusted: values.trusted,
  });
  const wallMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(before);
  for (const matrix of loaded.flat()) native.releaseMatrix(matrix);
  await reader.close();
  return { wallMs, userMs: user / 1000, systemMs: system / 1000 };
}

function loadInProcess(path: string, form: Form, trusted: boolean): LoadFigures {
  const [, script = ''] = process.argv;
  const options = ['--artifact', path, '--form', form, '--threads', values.threads];
  if (trusted) options.push('--trusted');
  return JSON.parse(execFileSync(process.execPath, [script, ...options], { encoding: 'utf8' }));
}

function dropFromCache(path: string): void {
  execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' });
}

function readMs(path: string): number {
  const startMs = performance.now();
  execFileSync('dd', [`if=${path}`, 'of=/dev/null', 'bs=1M'], { stdio: 'ignore' });
  return performance.now() - startMs;
}

/** The fastest of the rounds, which alternate so that a busy moment hits all alike. */
function measure(path: string) {
  const fastest = new Map<string, Record<string, number>>();
  const note = (name: string, figures: Record<string, number>) => {
    const best = fastest.get(name);
    if ((best?.wallMs ?? Number.POSITIVE_INFINITY) > (figures.wallMs ?? 0)) {
      fastest.set(name, figures);
    }
  };
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const isCold of [true, false]) {
      const cache = isCold ? 'cold' : 'warm';
      const prepare = () => (isCold ? dropFromCache(path) : undefined);
      prepare();
      note(`${cache} read`, { wallMs: readMs(path) });
      for (const form of FORMS) {
        prepare();
        note(`${cache} ${form}`, { ...loadInProcess(path, form, false) });
      }
      if (!isCold) note('warm window, trusted', { ...loadInProcess(path, 'window', true) });
    }
  }
  const rounded = (figures: Record<string, number>) =>
    Object.fromEntries(Object.entries(figures).map(([key, ms]) => [key, Math.round(ms)]));
  return Object.fromEntries([...fastest].map(([name, figures]) => [name, rounded(figures)]));
}

const { artifact, form } = values;
if (artifact === undefined) throw new Error('name an artifact: --artifact model.efa');
const result = FORMS.includes(form as Form)
  ? await loadOnce(artifact, form as Form)
  : { artifact, threads: Number(values.threads), ...measure(artifact) };
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
