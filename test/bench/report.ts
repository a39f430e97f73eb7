/**
 * Runs the benchmarks and writes docs/BENCHMARKS.md from what they print: `make bench-report`.
 *
 *   node test/bench/report.ts [bench-engine bench-limit ...]
 *
 * With names of targets only their sections are measured anew; the others stay as the page has them,
 * or say that they were not measured.
 */
import { spawnSync } from 'node:child_process';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { native } from '@entrofleet/native';

const ROOT = resolve(import.meta.dirname, '../..');
const REPORT = join(ROOT, 'docs/BENCHMARKS.md');

interface Section {
  readonly title: string;
  readonly text: string;
  readonly command: readonly string[];
}

const ISAS = native.cpu().isa === 'avx512' ? 'avx512,avx2' : native.cpu().isa;
const SECTIONS: readonly Section[] = [
  {
    title: 'Bits against perplexity',
    text:
      'A trained Llama of 15 million parameters; perplexity on 32 rows of tokens, calibration on 32 ' +
      'others. Q4_0, Q8_0 and Q4_K_M are computed on the same matrices as ggml specifies them.',
    command: ['bench-quality'],
  },
  {
    title: 'Codecs',
    text: 'From DRAM to DRAM, beside memcpy and zstd in the same run; sizes with all overhead of the file.',
    command: ['bench-codec', `ISA=${ISAS}`, 'ROUNDS=5'],
  },
  {
    title: 'Compression from file to file',
    text: '1 GB of weights: read, quantize, encode, hash, write.',
    command: ['bench-compress', 'ROUNDS=3'],
  },
  {
    title: 'Deltas',
    text:
      'From an artifact to that of a fine-tuning of it, over how far that went: every weight times ' +
      '1 + noise (relative) or plus noise times the spread of its tensor (spread). Every delta is ' +
      'applied, and what comes out compared byte by byte.',
    command: ['bench-delta'],
  },
  {
    title: 'Memory of compression',
    text: 'Peak of each process against the bound that the plan states, on 2.2 GB of weights.',
    command: ['bench-memory'],
  },
  {
    title: 'Inference beside llama.cpp',
    text:
      'A model of 1.1 billion weights (random, with the statistics of trained ones), the same weights ' +
      'for both; llama.cpp compiled here for this processor, measured by llama-bench. Every variant ' +
      'runs once in each round, in a process of its own whose file is not in memory; decode speeds that are compared ' +
      'come from turns of 12 tokens, both models loaded. GB/s count the ' +
      'weights that a token takes through the processor. Below: from the start of the process to the ' +
      "first token; the ratios that are wanted; the paper's table, ours above its own (phi3-mini on a " +
      'Jetson P3450); perplexity of the formats on a trained model.',
    command: ['bench-engine', 'ROUNDS=3'],
  },
  {
    title: 'Inference under a memory limit',
    text:
      'A control group limits all memory of the process, pages of files included. llama.cpp maps its ' +
      'file and reads again what the limit has dropped.',
    command: ['bench-limit', 'ROUNDS=1'],
  },
  {
    title: 'The fleet',
    text:
      'Simulated devices (real MQTT, chunks fetched and checked) that report every 30 s, then a ' +
      'rollout over all of them; full agents that fetch and check 256 MB, one alone and all at ' +
      'once. Broker, database, devices, agents and controller share this machine; a rate is the ' +
      "controller's limit on chunk bytes.",
    command: ['bench-fleet'],
  },
  {
    title: 'The roles of the controller',
    text:
      'Each role is a process of its own, with PostgreSQL: resident memory and cores while nothing ' +
      'happens, then while the demo compresses three variants of 15 million parameters and rolls two ' +
      'of them out to three agents. Peak cores are over the busiest five seconds; children are ' +
      'the compressors of the worker, and of the API, which has a checkpoint checked.',
    command: ['bench-roles'],
  },
  {
    title: 'Writes to the API server of Kubernetes',
    text:
      'Counted by the API server itself, whoever sent them: 200 Rollouts are applied and rolled out ' +
      'over devices that are simulated as above, each over some of its own; then nothing changes, ' +
      'and every device reports every 30 s.',
    command: ['bench-kube'],
  },
];

/** What a target prints for people, without the JSON for programs behind it. */
function run({ command }: Section): string {
  const argv = ['--silent', '--no-print-directory', ...command];
  const { status, stdout } = spawnSync('make', argv, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`make ${command.join(' ')} ended with status ${status}`);
  const json = stdout.search(/^[{[]/m);
  return (json === -1 ? stdout : stdout.slice(0, json)).replace(/^set-up: .*\n/gm, '').trimEnd();
}

function measuredPart(section: Section): string {
  const shell = `make ${section.command.join(' ')}`;
  return `## ${section.title}\n\n${section.text}\n\n\`\`\`text\n$ ${shell}\n${run(section)}\n\`\`\`\n`;
}

function missingPart({ title, text, command: [target] }: Section): string {
  return `## ${title}\n\n${text}\n\nNot measured yet: \`make bench-report ONLY=${target}\`.\n`;
}

/** The section as the page has it; undefined where it has none. */
function keptPart(page: string, { title }: Section): string | undefined {
  const begin = page.indexOf(`## ${title}\n`);
  if (begin === -1) return undefined;
  const next = page.indexOf('\n## ', begin);
  return page.slice(begin, next === -1 ? undefined : next);
}

const [cpu] = cpus();
const memoryGb = Math.round(totalmem() / 1e9);
const machine = `${availableParallelism()} cores of ${cpu?.model ?? 'unknown'}, ${memoryGb} GB`;
const chosen = new Set(process.argv.slice(2));
const unknown = [...chosen].filter((name) => SECTIONS.every(({ command }) => command[0] !== name));
if (unknown.length > 0) throw new Error(`no section is made by ${unknown.join(', ')}`);
const kept = chosen.size === 0 ? '' : await readFile(REPORT, 'utf8');
const parts = SECTIONS.map((section) => {
  const isChosen = chosen.size === 0 || chosen.has(section.command[0] ?? '');
  if (isChosen) return measuredPart(section);
  return keptPart(kept, section) ?? missingPart(section);
});
const head =
  '# Benchmarks\n\n`make bench-report` wrote this page from what the commands printed. Speeds are of ' +
  `this machine:\n${machine}. Look at ratios, which were measured side by side.\n`;
await writeFile(`${REPORT}.partial`, [head, ...parts].join('\n'));
await rename(`${REPORT}.partial`, REPORT);
