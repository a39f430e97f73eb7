import type { NestExpressApplication } from '@nestjs/platform-express';
import { SwaggerModule } from '@nestjs/swagger';
import { Metrics } from '../adapters/metrics.ts';
import type { Config } from '../config.ts';
import { NotFound } from '../errors.ts';
import { ReadinessChecks } from '../health/readiness.ts';
import { HttpMetrics } from './http.metrics.ts';
import type { HttpRequest, HttpResponse } from './http.types.ts';
import { openApiDocument } from './openapi.ts';
import { JSON_TYPES } from './request.guard.ts';

/** Everything about HTTP that is not a route; the same for the server and for tests. */
export function setUpHttp(app: NestExpressApplication, config: Config): void {
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  const metrics = new HttpMetrics(app.get(Metrics));
  const readiness = app.get(ReadinessChecks);
  app.use((request: HttpRequest, response: HttpResponse, next: () => void) => {
    metrics.begin(request, response);
    // A client that keeps its connection would never be sent to another process.
    if (readiness.stopping) response.set({ Connection: 'close' });
    next();
  });
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
