import {
  approveInputSchema,
  artifactSchema,
  devicePatchSchema,
  deviceSchema,
  dryRunSchema,
  eventSchema,
  listSchema,
  memberSchema,
  modelInputSchema,
  modelSchema,
  problemSchema,
  revisionSchema,
  rollbackInputSchema,
  rolloutInputSchema,
  rolloutSchema,
  watchEventSchema,
} from '@entrofleet/protocol';
import { z } from 'zod';
import { readinessSchema } from '../health/readiness.ts';

/** Bodies of requests: what a client may write, so defaults are optional. */
const INPUTS = {
  ModelInput: modelInputSchema,
  RolloutInput: rolloutInputSchema,
  ApproveInput: approveInputSchema,
  RollbackInput: rollbackInputSchema,
  DevicePatch: devicePatchSchema,
} as const;

/** Bodies of answers: what a client will read, so defaults are there. */
const OUTPUTS = {
  Model: modelSchema,
  ModelList: listSchema(modelSchema),
  Artifact: artifactSchema,
  ArtifactList: listSchema(artifactSchema),
  Device: deviceSchema,
  DeviceList: listSchema(deviceSchema),
  Rollout: rolloutSchema,
  RolloutList: listSchema(rolloutSchema),
  Member: memberSchema,
  MemberList: listSchema(memberSchema),
  Revision: revisionSchema,
  RevisionList: listSchema(revisionSchema),
  DryRun: dryRunSchema,
  Event: eventSchema,
  EventList: listSchema(eventSchema),
  ModelWatchEvent: watchEventSchema(modelSchema),
  DeviceWatchEvent: watchEventSchema(deviceSchema),
  RolloutWatchEvent: watchEventSchema(rolloutSchema),
  EventWatchEvent: watchEventSchema(eventSchema),
  Readiness: readinessSchema,
  Problem: problemSchema,
} as const;

export type ComponentName = keyof typeof INPUTS | keyof typeof OUTPUTS;
type JsonSchema = Readonly<Record<string, unknown>>;

export function componentRef(name: ComponentName): { $ref: string } {
  return { $ref: `#/components/schemas/${name}` };
}

/** JSON Schema (draft 2020-12, as OpenAPI 3.1 takes it) of every body, by name. */
export function componentSchemas(): Record<string, JsonSchema> {
  return { ...schemasOf(INPUTS, 'input'), ...schemasOf(OUTPUTS, 'output') };
}

/** A registered schema within another one becomes a reference to it. */
function schemasOf(
  schemas: Readonly<Record<string, z.ZodType>>,
  io: 'input' | 'output',
): Record<string, JsonSchema> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id });
  const generated = z.toJSONSchema(registry, {
    io,
    uri: (id) => `#/components/schemas/${id}`,
  });
  return Object.fromEntries(
    Object.entries(generated.schemas).map(([name, schema]) => {
      const { $schema, $id, ...rest } = schema;
      return [name, rest];
    }),
  );
}
