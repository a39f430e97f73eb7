import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const CLIENT = resolve(import.meta.dirname, '../../libs/client');

test('the client is generated from the OpenAPI document as it is; "npm run generate -w libs/client" writes it', () => {
  const generator = join(CLIENT, 'node_modules/openapi-typescript/bin/cli.js');
  const document = resolve(CLIENT, '../../apps/controller/openapi.json');
  const { status, stderr } = spawnSync(
    process.execPath,
    [generator, document, '--check', '--output', join(CLIENT, 'src/api.schema.ts')],
    { cwd: CLIENT, encoding: 'utf8' },
  );
  expect({ status, stderr }).toMatchObject({ status: 0 });
});
