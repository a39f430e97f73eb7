import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { type MetricDescription, Metrics } from '../../apps/controller/src/adapters/metrics.ts';
import { appModule } from '../../apps/controller/src/app.module.ts';
import { readConfig } from '../../apps/controller/src/config.ts';
import { setUpHttp } from '../../apps/controller/src/http/http.setup.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';

/** A port that nobody listens on. */
const NOBODY = '127.0.0.1:1';

/** Every metric of the controller's own, from the controller itself, which needs no service for it. */
export async function metricDescriptions(): Promise<readonly MetricDescription[]> {
  const config = readConfig({
    ENTROFLEET_DATA_DIR: await temporaryFolder('metric-descriptions'),
    REDIS_URL: `redis://${NOBODY}`,
    MQTT_URL: `mqtt://${NOBODY}`,
    LOG_LEVEL: 'error',
  });
  const app = await NestFactory.create<NestExpressApplication>(appModule(config), {
    logger: false,
  });
  try {
    setUpHttp(app, config);
    return app.get(Metrics).descriptions;
  } finally {
    await app.close();
  }
}
