import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { OPENAPI_FILE, openApiText } from './openapi.file.ts';

describe('the OpenAPI document', () => {
  it('is checked in as the routes are; "npm run openapi -w apps/controller" writes it', async () => {
    const isCurrent = (await readFile(OPENAPI_FILE, 'utf8')) === (await openApiText());
    expect(isCurrent, `${OPENAPI_FILE} is stale`).toBe(true);
  });

  it('has every reference it makes', async () => {
    const text = await openApiText();
    const { components } = JSON.parse(text);
    const names = [...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map((match) => match[1]);
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) expect(components.schemas).toHaveProperty(String(name));
  });

  it('describes each body of a request and each answer', async () => {
    const { paths } = JSON.parse(await openApiText());
    expect(paths['/api/v1/models'].post).toMatchObject({
      requestBody: { required: true },
      responses: { 202: {}, default: {} },
    });
    for (const [path, operations] of Object.entries<Record<string, object>>(paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        expect(operation, `${method} ${path}`).toHaveProperty('summary');
      }
    }
  });
});
