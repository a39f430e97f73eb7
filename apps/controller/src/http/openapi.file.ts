import 'reflect-metadata';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { NestFactory } from '@nestjs/core';
import { appModule } from '../app.module.ts';
import { readConfig } from '../config.ts';
import { openApiDocument } from './openapi.ts';

/** The checked-in document, from which clients are generated. */
export const OPENAPI_FILE = fileURLToPath(new URL('../../openapi.json', import.meta.url));

/** The document of the routes as they are now. No provider is created, so no service is needed. */
export async function openApiText(): Promise<string> {
  const app = await NestFactory.create(appModule(readConfig({})), { preview: true, logger: false });
  return `${JSON.stringify(openApiDocument(app), null, 2)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await writeFile(OPENAPI_FILE, await openApiText());
