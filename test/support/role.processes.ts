import { join } from 'node:path';
import { type PrivateService, startController } from '../../deploy/private/services.ts';

/** What the roles of one controller share when each is a process of its own. */
export interface RoleSite {
  readonly redisUrl: string;
  readonly mqttUrl: string;
  readonly databaseUrl: string;
  /** Holds the artifacts that all see. */
  readonly folder: string;
}

/** A controller process with these roles, e.g. `api,reconciler`. */
export function startRole(
  site: RoleSite,
  roles: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<PrivateService> {
  return startController({
    redisUrl: site.redisUrl,
    mqttUrl: site.mqttUrl,
    environment: {
      ENTROFLEET_ROLES: roles,
      DATABASE_URL: site.databaseUrl,
      ENTROFLEET_BLOB_DIR: join(site.folder, 'blobs'),
      ...environment,
    },
  });
}
