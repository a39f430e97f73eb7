// Writes the CustomResourceDefinitions of the chart: npm run crds -w apps/controller
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import {
  CUSTOM_RESOURCES,
  resourceDefinition,
} from '../../apps/controller/src/kube/custom.resources.ts';

const FOLDER = join(import.meta.dirname, '../../charts/entrofleet/crds');
const HEADER = '# Written by "npm run crds -w apps/controller" from libs/protocol. Do not edit.\n';

export interface CrdFile {
  readonly path: string;
  readonly text: string;
}

/** Each definition of the chart, as the schemas are now. */
export function crdFiles(): CrdFile[] {
  return CUSTOM_RESOURCES.map((resource) => {
    const definition = resourceDefinition(resource);
    const yaml = stringify(definition, { lineWidth: 100, aliasDuplicateObjects: false });
    return { path: join(FOLDER, `${definition.metadata.name}.yaml`), text: HEADER + yaml };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await mkdir(FOLDER, { recursive: true });
  for (const { path, text } of crdFiles()) await writeFile(path, text);
}
