import {
  modelSpecSchema,
  modelStatusSchema,
  nameSchema,
  rolloutSpecSchema,
  rolloutStatusSchema,
} from '@entrofleet/protocol';
import { z } from 'zod';
import { type ListKeys, type StructuralSchema, structuralSchema } from './structural.schema.ts';

export const API_GROUP = 'entrofleet.io';
export const API_VERSION = 'v1alpha1';

interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly description?: string;
  /** 1: shown by `kubectl get -o wide` only. */
  readonly priority?: 1;
}

export interface CustomResource {
  readonly kind: string;
  readonly singular: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly description: string;
  readonly spec: z.ZodType;
  readonly status: z.ZodType;
  readonly listKeys: ListKeys;
  readonly columns: readonly PrinterColumn[];
}

const AGE: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

function ofCondition(type: string, field: 'status' | 'reason' | 'message'): string {
  return `.status.conditions[?(@.type=="${type}")].${field}`;
}

/** Whether the controller has taken the resource over as it is; see sync.plan.ts. */
const SYNCED: PrinterColumn = {
  name: 'Synced',
  type: 'string',
  jsonPath: ofCondition('Synced', 'reason'),
};

export const MODEL_RESOURCE: CustomResource = {
  kind: 'Model',
  singular: 'model',
  plural: 'models',
  shortNames: ['mdl'],
  description: 'A checkpoint and the encodings that are wanted of it.',
  spec: modelSpecSchema,
  status: modelStatusSchema,
  listKeys: {
    'spec.variants': ['name'],
    'status.variants': ['name'],
    'status.conditions': ['type'],
  },
  columns: [
    { name: 'Ready', type: 'string', jsonPath: ofCondition('Ready', 'status') },
    { name: 'Encoded', type: 'integer', jsonPath: '.status.counts.ready' },
    { name: 'Variants', type: 'integer', jsonPath: '.status.counts.variants' },
    { name: 'Reason', type: 'string', jsonPath: ofCondition('Ready', 'reason') },
    { name: 'Within bound', type: 'string', jsonPath: ofCondition('QualityBound', 'status') },
    SYNCED,
    { name: 'Failed', type: 'integer', jsonPath: '.status.counts.failed', priority: 1 },
    { name: 'Source', type: 'string', jsonPath: '.spec.source.path', priority: 1 },
    { name: 'Message', type: 'string', jsonPath: ofCondition('Ready', 'message'), priority: 1 },
    AGE,
  ],
};

export const ROLLOUT_RESOURCE: CustomResource = {
  kind: 'Rollout',
  singular: 'rollout',
  plural: 'rollouts',
  shortNames: ['ro'],
  description: 'Brings a model to the devices that a selector matches, wave by wave.',
  spec: rolloutSpecSchema,
  status: rolloutStatusSchema.extend({
    wave: z.string().optional().describe('The current wave of all, counted from 1, e.g. 2/3'),
  }),
  listKeys: { 'spec.strategy.gates': ['name'], 'status.conditions': ['type'] },
  columns: [
    { name: 'Model', type: 'string', jsonPath: '.spec.model' },
    { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
    { name: 'Wave', type: 'string', jsonPath: '.status.wave' },
    { name: 'Active', type: 'integer', jsonPath: '.status.counts.active' },
    { name: 'Selected', type: 'integer', jsonPath: '.status.counts.selected' },
    { name: 'Reason', type: 'string', jsonPath: ofCondition('Progressing', 'reason') },
    SYNCED,
    { name: 'Failed', type: 'integer', jsonPath: '.status.counts.failed', priority: 1 },
    { name: 'Offline', type: 'integer', jsonPath: '.status.counts.offline', priority: 1 },
    {
      name: 'Message',
      type: 'string',
      jsonPath: ofCondition('Progressing', 'message'),
      priority: 1,
    },
    AGE,
  ],
};

export const CUSTOM_RESOURCES = [MODEL_RESOURCE, ROLLOUT_RESOURCE] as const;

/** The CustomResourceDefinition (apiextensions.k8s.io/v1) of a resource. */
export function resourceDefinition(resource: CustomResource) {
  const { kind, singular, plural } = resource;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${API_GROUP}` },
    spec: {
      group: API_GROUP,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        singular,
        plural,
        shortNames: [...resource.shortNames],
        categories: ['entrofleet'],
      },
      versions: [
        {
          name: API_VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: resource.columns,
          schema: { openAPIV3Schema: objectSchema(resource) },
        },
      ],
    },
  };
}

function objectSchema({ description, spec, status, listKeys }: CustomResource): StructuralSchema {
  // Kubernetes lets a name be longer than a topic level or a label value; devices do not. Of the
  // metadata a definition may restrict the name and say nothing else.
  const name = structuralSchema(nameSchema, { path: 'metadata.name', listKeys });
  return {
    type: 'object',
    description,
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object', properties: { name } },
      spec: structuralSchema(spec, { path: 'spec', listKeys }),
      status: nothingRequired(structuralSchema(status, { path: 'status', listKeys })),
    },
  };
}

/**
 * Definitions lag behind the controller and it behind them: a status is never refused for what it
 * leaves out. Keys of lists stay, which items are told apart by.
 */
function nothingRequired(schema: StructuralSchema): StructuralSchema {
  const { required, properties, items, ...rest } = schema;
  const keys = schema['x-kubernetes-list-map-keys'];
  const inner = items && nothingRequired(items);
  return {
    ...rest,
    ...(properties && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, child]) => [name, nothingRequired(child)]),
      ),
    }),
    ...(inner && { items: Array.isArray(keys) ? { ...inner, required: keys } : inner }),
  };
}
