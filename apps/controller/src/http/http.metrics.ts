import type { Metrics } from '../adapters/metrics.ts';
import type { HttpRequest, HttpResponse } from './http.types.ts';

const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
/** A watch lasts as long as its client likes, which is no duration of a request. */
const STREAM = 'text/event-stream';

export class HttpMetrics {
  readonly #seconds;

  constructor(metrics: Metrics) {
    this.#seconds = metrics.histogram({
      name: 'http_request_duration_seconds',
      help: 'From the head of a request to its answer’s end, by class of status (2xx); watches are left out',
      labels: ['method', 'route', 'status'],
      buckets: BUCKETS,
    });
  }

  /** Call it as soon as a request has come. */
  begin(request: HttpRequest, response: HttpResponse): void {
    const startMs = performance.now();
    response.once('close', () => {
      if (String(response.getHeader('content-type')).startsWith(STREAM)) return;
      const method = METHODS.has(request.method) ? request.method : 'other';
      // The pattern of the route, so that no name of an object becomes a label.
      const route = request.route?.path ?? 'none';
      const status = `${Math.floor(response.statusCode / 100)}xx`;
      this.#seconds.observe({ method, route, status }, (performance.now() - startMs) / 1000);
    });
  }
}
