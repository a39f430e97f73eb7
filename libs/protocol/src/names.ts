import { z } from 'zod';
import { LIMITS } from './limits.ts';

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/;
const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

/** Name of a Model, Rollout or Device: a DNS-1123 label (RFC 1123), so it fits a topic level. */
export const nameSchema = z
  .string()
  .min(1)
  .max(LIMITS.nameLength)
  .regex(DNS_LABEL, 'must be a DNS label: lower-case letters, digits and "-", not "-" at an end')
  .describe('DNS-1123 label');

/** Name of a variant: like a DNS label, with dots, e.g. `u8`, `u4-paper`, `rd-4.2`. */
export const variantNameSchema = z
  .string()
  .min(1)
  .max(LIMITS.nameLength)
  .regex(
    /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/,
    'must be lower-case letters, digits, "-" and ".", starting and ending with a letter or digit',
  )
  .describe('Variant name, e.g. u8, u4-paper, rd-4.2');

/** SHA-256 as 64 lower-case hexadecimal digits. */
export const sha256Schema = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in 64 lower-case hexadecimal digits');

export const labelKeySchema = z
  .string()
  .min(1)
  .max(LIMITS.nameLength)
  .regex(LABEL_KEY, 'must be a Kubernetes label key');
export const labelValueSchema = z
  .string()
  .max(LIMITS.nameLength)
  .regex(LABEL_VALUE, 'must be a Kubernetes label value');

/** Labels as in Kubernetes: `key: value`, both short. */
export const labelsSchema = z
  .record(labelKeySchema, labelValueSchema)
  .refine((labels) => Object.keys(labels).length <= LIMITS.labelsPerObject, {
    message: `at most ${LIMITS.labelsPerObject} labels`,
  });
export type Labels = z.infer<typeof labelsSchema>;
