import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const PACKAGES = [
  'libs/protocol',
  'libs/native',
  'libs/codec',
  'libs/artifact',
  'libs/engine',
  'libs/calibration',
  'libs/client',
  'libs/distribution',
];
const APPS = ['apps/controller', 'apps/agent', 'apps/cli'];

/** A file to plant, by path, and the rule that must name it. */
const VIOLATIONS = [
  ['libs/protocol/src/a.ts', `import '@entrofleet/native';`, 'direction-of-libs-protocol'],
  ['libs/native/src/a.ts', `import '@entrofleet/codec';`, 'direction-of-libs-native'],
  ['libs/codec/src/a.ts', `import '@entrofleet/artifact';`, 'direction-of-libs-codec'],
  ['libs/artifact/src/a.ts', `import '@entrofleet/engine';`, 'direction-of-libs-artifact'],
  ['libs/calibration/src/a.ts', `import '@entrofleet/codec';`, 'direction-of-libs-calibration'],
  ['libs/engine/src/a.ts', `import '@entrofleet/protocol';`, 'direction-of-libs-engine'],
  ['libs/client/src/a.ts', `import '@entrofleet/protocol';`, 'direction-of-libs-client'],
  [
    'libs/distribution/src/a.ts',
    `import '@entrofleet/artifact';`,
    'direction-of-libs-distribution',
  ],
  [
    'libs/engine/src/b.ts',
    `import type { A } from '@entrofleet/protocol';\nexport type B = A;`,
    'direction-of-libs-engine',
  ],
  [
    'apps/controller/src/a.ts',
    `import '../../agent/src/index.ts';`,
    'direction-of-apps-controller',
  ],
  ['apps/agent/src/a.ts', `import '../../controller/src/index.ts';`, 'direction-of-apps-agent'],
  ['apps/cli/src/a.ts', `import '../../agent/src/index.ts';`, 'direction-of-apps-cli'],
  ['apps/controller/src/b.ts', `import '@entrofleet/engine';`, 'engine-only-in-compression'],
  ['libs/protocol/src/c.ts', `import 'node:fs';`, 'protocol-is-a-leaf'],
  ['apps/controller/src/x/a.plan.ts', `import 'node:fs';`, 'pure-files-stay-pure'],
  ['apps/controller/src/x/a.waves.ts', `import '../d.ts';`, 'pure-files-stay-pure'],
  ['apps/agent/src/x/a.table.ts', `import 'zod';`, 'pure-files-stay-pure'],
  ['apps/controller/src/e.ts', `import 'bullmq';`, 'drivers-only-in-adapters'],
  ['apps/agent/src/e.ts', `import 'mqtt';`, 'drivers-only-in-adapters'],
  ['apps/controller/src/f.ts', `import 'kysely';`, 'queries-only-in-stores'],
  ['libs/codec/src/g.ts', `import './h.ts';`, 'no-circular'],
  ['libs/codec/src/orphan.ts', `export const a = 1;`, 'no-orphan'],
  ['libs/codec/src/i.ts', `import './nowhere.ts';`, 'not-resolvable'],
  ['libs/codec/src/j.ts', `import 'fast-check';`, 'no-development-packages'],
  ['libs/codec/src/k.ts', `import './l.test.ts';`, 'no-tests-in-sources'],
] as const;

/** What is fine and must not be named by any rule. */
const ALLOWED = {
  'libs/codec/src/h.ts': `import './g.ts';`,
  'libs/codec/src/l.test.ts': `import 'fast-check';`,
  'apps/controller/src/d.ts': `import 'node:fs';`,
  'apps/controller/src/compression/a.ts': `import '@entrofleet/engine';`,
  'apps/controller/src/x/fine.plan.ts':
    `import '@entrofleet/protocol';\nimport type { D } from '../d.ts';\n` +
    `import './a.waves.ts';\nexport type E = D;`,
  'apps/controller/src/adapters/a.ts': `import 'bullmq';\nimport 'kysely';`,
  'apps/controller/src/x/a.store.ts': `import 'kysely';`,
} as const;

interface Violation {
  readonly rule: { readonly name: string };
  readonly from: string;
}

let planted: string;
let found: Violation[];

beforeAll(async () => {
  planted = await mkdtemp(join(tmpdir(), 'entrofleet-structure-'));
  await symlinkPackages();
  const files = [...VIOLATIONS.map(([path, text]) => [path, text]), ...Object.entries(ALLOWED)];
  for (const [path, text] of files) await plant(String(path), String(text));
  found = await cruise();
});
afterAll(() => rm(planted, { recursive: true, force: true }));

async function symlinkPackages(): Promise<void> {
  const modules = join(planted, 'node_modules');
  await mkdir(join(modules, '@entrofleet'), { recursive: true });
  for (const name of ['zod', 'bullmq', 'mqtt', 'kysely', 'fast-check']) {
    await plant(`node_modules/${name}/package.json`, JSON.stringify({ name, main: 'index.js' }));
    await plant(`node_modules/${name}/index.js`, '');
  }
  for (const part of [...PACKAGES, ...APPS]) {
    await plant(`${part}/src/index.ts`, 'export {};');
    await cp(join(ROOT, part, 'package.json'), join(planted, part, 'package.json'));
  }
  for (const part of PACKAGES) {
    const name = part.replace('libs/', '@entrofleet/');
    await symlink(join(planted, part), join(modules, name));
  }
  await cp(join(ROOT, 'package.json'), join(planted, 'package.json'));
}

async function plant(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(planted, path)), { recursive: true });
  await writeFile(join(planted, path), `${text}\n`);
}

async function cruise(): Promise<Violation[]> {
  const cruiser = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs');
  const config = join(ROOT, '.dependency-cruiser.mjs');
  const options = ['--config', config, '--output-type', 'json', 'libs', 'apps'];
  const output = await new Promise<string>((resolveOutput, reject) => {
    // It exits with the number of errors, so the exit status alone says nothing here.
    execFile(process.execPath, [cruiser, ...options], { cwd: planted }, (_, stdout, stderr) =>
      stdout === '' ? reject(new Error(stderr)) : resolveOutput(stdout),
    );
  });
  return JSON.parse(output).summary.violations;
}

test.each(VIOLATIONS)('%s with %j breaks %s', (path, _text, rule) => {
  const rules = found.filter((violation) => violation.from === path).map((v) => v.rule.name);
  expect(rules).toContain(rule);
});

test.each(Object.keys(ALLOWED))('%s breaks nothing', (path) => {
  const rules = found.filter((violation) => violation.from === path).map((v) => v.rule.name);
  expect(rules.filter((rule) => rule !== 'no-circular')).toEqual([]);
});
