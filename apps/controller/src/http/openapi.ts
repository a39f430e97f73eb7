import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { componentRef, componentSchemas } from './openapi.components.ts';

const DESCRIPTION = [
  'Compress LLM checkpoints, roll them out to edge devices, keep what proves itself.',
  'Errors are problem details (RFC 9457) that name each offending field by JSON pointer.',
].join(' ');

/** The OpenAPI 3.1 document of all routes; bodies come from the schemas of libs/protocol. */
export function openApiDocument(app: INestApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('entrofleet')
    .setDescription(DESCRIPTION)
    .setVersion('1')
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    operationIdFactory: (controller, method) =>
      `${controller.replace(/Controller$/, '').toLowerCase()}_${method}`,
  });
  for (const operations of Object.values(document.paths)) {
    for (const operation of Object.values(operations)) addProblemAnswer(operation);
  }
  const schemas = { ...document.components?.schemas, ...componentSchemas() };
  return { ...document, components: { ...document.components, schemas } };
}

function addProblemAnswer(operation: unknown): void {
  if (typeof operation !== 'object' || operation === null || !('responses' in operation)) return;
  Object.assign(Object(operation.responses), {
    default: {
      description: 'A problem',
      content: { 'application/problem+json': { schema: componentRef('Problem') } },
    },
  });
}
