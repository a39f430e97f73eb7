// A process of its own that loads an artifact within a budget, for what only a process can tell: its
// peak memory. Prints JSON.
import { readFileSync } from 'node:fs';
import { openArtifact } from '@entrofleet/artifact';
import { loadModel } from '@entrofleet/engine';

const [path = '', budgetBytes = ''] = process.argv.slice(2);

function peakBytes(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

const reader = await openArtifact(path);
const beforeBytes = peakBytes();
const model = await loadModel(
  {
    config: reader.config,
    tensorNames: reader.tensorNames,
    readResident: (name) => reader.readResident(name, { threads: 2 }),
    coded: reader,
  },
  { threads: 2, memoryBudgetBytes: Number(budgetBytes) },
);
const session = model.createSession(64);
const logits = await session.append([1, 5, 9, 200, 300]);
process.stdout.write(
  JSON.stringify({
    grownBytes: peakBytes() - beforeBytes,
    matrices: model.residency?.matrices,
    logits: [...logits.subarray(0, 16)],
  }),
);
