import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const CLIENT = resolve(import.meta.dirname, '../../libs/client');

test('the client is what "npm run generate -w libs/client" writes from the OpenAPI document', () => {
  const { scripts } = JSON.parse(readFileSync(join(CLIENT, 'package.json'), 'utf8'));
  const [, ...argv] = scripts.generate.split(' ');
  const generator = join(CLIENT, 'node_modules/openapi-typescript/bin/cli.js');
  const { status, stderr } = spawnSync(process.execPath, [generator, ...argv, '--check'], {
    cwd: CLIENT,
    encoding: 'utf8',
  });
  expect({ status, stderr }).toMatchObject({ status: 0 });
});
