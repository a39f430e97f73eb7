import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { encodeTinyModel } from '../support/encoded.model.ts';
import { parseMetrics } from '../support/prometheus.text.ts';
import { CHAT_TEMPLATE, startServingAgent } from '../support/serving.agent.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const page = readFileSync(join(ROOT, 'docs/SERVING.md'), 'utf8');
const examples = [...page.matchAll(/^```(sh|js)\n(.*?)^```$/gms)].map(([, kind, code = '']) => ({
  kind,
  code,
}));
const hasCurl = spawnSync('curl', ['--version']).status === 0;
if (!hasCurl) console.warn('SKIPPED: the examples with curl, which is not installed');

it('the examples of docs/SERVING.md work', async () => {
  const encoded = await encodeTinyModel({
    ...{ model: 'stories', chunkSizeBytes: 65_536, chatTemplate: CHAT_TEMPLATE },
  });
  const { agent } = await startServingAgent({ models: [encoded] });
  expect(examples.map(({ kind }) => kind)).toEqual(['sh', 'sh', 'js', 'sh']);
  for (const { kind, code } of examples) {
    if (kind === 'sh' && !hasCurl) continue;
    const command =
      kind === 'sh'
        ? ['sh', '-ec', code.replaceAll('curl ', 'curl --fail-with-body -sS ')]
        : [process.execPath, '--input-type=module', '-e', code];
    expect((await run(command, agent.url)).length).toBeGreaterThan(10);
  }
  await encoded.source.close();
});

it('the metrics of docs/SERVING.md are those there are', async () => {
  const encoded = await encodeTinyModel({ model: 'stories', chunkSizeBytes: 65_536 });
  const { agent, client } = await startServingAgent({ models: [encoded] });
  await client.completions.create({ model: 'stories', prompt: 'once', max_tokens: 4 });
  const values = parseMetrics(await (await fetch(`${agent.url}/metrics`)).text());
  const [, table = ''] = page.split('## Metrics');
  const documented = [...table.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, names = '']) =>
    [...names.matchAll(/`([a-z_]+)/g)].map(([, name = '']) => name),
  );
  const served = [...values.keys()]
    .filter((name) => name.startsWith('entrofleet_agent_'))
    .map((name) => name.replace('entrofleet_agent_', '').replace(/\{.*/, ''))
    .map((name) => name.replace(/_(bucket|sum|count)$/, ''));
  expect([...new Set(served)].sort()).toEqual(documented.sort());
  await encoded.source.close();
});

async function run([program = '', ...options]: string[], url: string): Promise<string> {
  const env = { ...process.env, AGENT: url };
  const child = spawn(program, options, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const [output, status] = await Promise.all([
    text(child.stdout),
    new Promise((exited) => child.once('exit', exited)),
  ]);
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${output}`);
  return output;
}
