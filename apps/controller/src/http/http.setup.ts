import type { NestExpressApplication } from '@nestjs/platform-express';
import { SwaggerModule } from '@nestjs/swagger';
import type { Config } from '../config.ts';
import { NotFound } from '../errors.ts';
import { openApiDocument } from './openapi.ts';
import { JSON_TYPES } from './request.guard.ts';

/** Everything about HTTP that is not a route; the same for the server and for tests. */
export function setUpHttp(app: NestExpressApplication, config: Config): void {
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  if (config.roles.has('api')) {
    app.useBodyParser('json', { limit: config.requestLimitBytes, type: JSON_TYPES });
    SwaggerModule.setup('docs', app, () => openApiDocument(app), {
      jsonDocumentUrl: 'openapi.json',
      yamlDocumentUrl: 'openapi.yaml',
      customSiteTitle: 'entrofleet',
    });
    return;
  }
  app.use('/api', () => {
    throw new NotFound({ kind: 'role', name: 'api' });
  });
}
