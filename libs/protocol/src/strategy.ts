import { z } from 'zod';
import { LIMITS } from './limits.ts';
import { labelKeySchema, labelValueSchema, nameSchema } from './names.ts';
import { selectorSchema } from './selector.ts';

const secondsSchema = z
  .int()
  .min(1)
  .max(30 * 24 * 3600);

/**
 * One wave takes the next `count` devices, or the next `percent` of all selected devices (rounded
 * up); with a selector only devices whose labels match it. Devices left over after the last wave
 * form one more wave.
 */
export const waveSpecSchema = z
  .strictObject({
    count: z.int().min(1).optional(),
    percent: z.number().gt(0).max(100).optional(),
    selector: selectorSchema.optional(),
  })
  .refine((wave) => (wave.count === undefined) !== (wave.percent === undefined), {
    message: 'give exactly one of count and percent',
  });
export type WaveSpec = z.infer<typeof waveSpecSchema>;

const COUNT_OR_PERCENT =
  'must be a whole number of devices from 1 on, or a share from "1%" to "100%"';
const percentSchema = z.string().regex(/^([1-9]\d?|100)%$/, COUNT_OR_PERCENT);

/** An absolute number of devices, or a share of the selected ones such as `25%` (rounded up). */
export const countOrPercentSchema = z.union(
  [z.int(COUNT_OR_PERCENT).min(1, COUNT_OR_PERCENT), percentSchema],
  COUNT_OR_PERCENT,
);
export type CountOrPercent = z.infer<typeof countOrPercentSchema>;

/** When something may happen: from each time that `cron` names, for so long. */
export const timeWindowSchema = z.strictObject({
  cron: z
    .string()
    .min(1)
    .max(200)
    .describe('Five fields as in crontab(5): minute, hour, day of month, month, day of week'),
  durationSeconds: z
    .int()
    .min(60)
    .max(7 * 24 * 3600),
  timeZone: z.string().min(1).max(64).default('UTC').describe('IANA name, e.g. Europe/Berlin'),
});
export type TimeWindow = z.infer<typeof timeWindowSchema>;

export const paceSchema = z.strictObject({
  devicesPerMinute: z.number().gt(0).max(1e6).describe('Devices started in a minute, at first'),
  growth: z
    .strictObject({
      factor: z.number().gt(1).max(100).describe('The rate is multiplied by it'),
      afterActive: z.int().min(1).describe('each time so many more devices have become active'),
    })
    .nullable()
    .default(null)
    .describe('Exponential rollout; null: the rate stays'),
});
export type Pace = z.infer<typeof paceSchema>;

/** Least progress in time; what takes longer has failed with the reason `<Step>TimedOut`. */
export const timeoutsSchema = z.strictObject({
  wholeSeconds: secondsSchema.nullable().default(null).describe('From being started to active'),
  downloadSeconds: secondsSchema.nullable().default(null),
  verifySeconds: secondsSchema.nullable().default(null),
  decodeSeconds: secondsSchema.nullable().default(null),
  testSeconds: secondsSchema.nullable().default(null),
  activateSeconds: secondsSchema.nullable().default(null),
});
export type Timeouts = z.infer<typeof timeoutsSchema>;

export const retriesSchema = z.strictObject({
  limit: z.int().min(0).max(20).default(0).describe('Further attempts of a device that has failed'),
  backoffSeconds: secondsSchema.default(30).describe('Before the first further attempt'),
  backoffFactor: z.number().min(1).max(10).default(2),
  backoffMaxSeconds: secondsSchema.default(3600),
  jitter: z.number().min(0).max(1).default(0.2).describe('Share of the pause that is random'),
});
export type Retries = z.infer<typeof retriesSchema>;

export const gateMetricSchema = z.enum([
  'decodeTokensPerSecond',
  'prefillTokensPerSecond',
  'p95TokenSeconds',
  'loadSeconds',
  'peakRssBytes',
  'temperatureCelsius',
  'perplexity',
  'fingerprintDeviation',
]);
export type GateMetric = z.infer<typeof gateMetricSchema>;

/**
 * A condition on the figures that the devices of the waves so far have measured. Judged for each
 * hardware class by itself; a missing figure is Inconclusive, never a pass.
 */
export const gateSchema = z
  .strictObject({
    name: nameSchema,
    metric: gateMetricSchema,
    against: z
      .enum(['Previous', 'Fixed'])
      .default('Previous')
      .describe("Previous: the figure over that of the same device's model before; Fixed: itself"),
    min: z.number().optional(),
    max: z.number().optional(),
    statistic: z
      .enum(['Median', 'Worst'])
      .default('Median')
      .describe('What of the devices of a class must hold'),
    minimumSamples: z.int().min(1).default(1).describe('Devices of a class with both figures'),
    inconclusiveAfterSeconds: secondsSchema
      .default(600)
      .describe('Pause when evidence is still missing so long after the wave has become active'),
  })
  .refine((gate) => gate.min !== undefined || gate.max !== undefined, {
    message: 'give min, max or both',
  })
  .refine(({ min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }) => min <= max, {
    message: 'min must not be above max: nothing could ever pass',
  });
export type Gate = z.infer<typeof gateSchema>;

export const strategySchema = z.strictObject({
  waves: z
    .array(waveSpecSchema)
    .min(1)
    .max(LIMITS.wavesPerRollout)
    .default([{ count: 1 }, { percent: 25 }, { percent: 100 }]),
  order: z
    .strictObject({ label: labelKeySchema, values: z.array(labelValueSchema).min(1).max(64) })
    .nullable()
    .default(null)
    .describe('Devices go in the order of these values of a label, others after them'),
  maxUnavailable: countOrPercentSchema
    .nullable()
    .default(null)
    .describe('Most devices that are being updated or have failed at once; null: the wave'),
  pace: paceSchema.nullable().default(null),
  windows: z
    .strictObject({
      download: z.array(timeWindowSchema).max(16).default([]).describe('none: at any time'),
      activation: z.array(timeWindowSchema).max(16).default([]).describe('none: at any time'),
    })
    .prefault({}),
  timeouts: timeoutsSchema.prefault({}),
  retries: retriesSchema.prefault({}),
  errorThreshold: z
    .strictObject({
      percent: z.number().min(0).max(100).describe('Failed of those that have ended, at most'),
      minimumSample: z.int().min(1).default(1).describe('Devices that must have ended before'),
    })
    .nullable()
    .default(null)
    .describe('null: the first failure counts'),
  gates: z
    .array(gateSchema)
    .max(32)
    .default([])
    .refine((list) => new Set(list.map((g) => g.name)).size === list.length, {
      message: 'gate names must differ',
    }),
  onGateFailure: z
    .enum(['HoldAll', 'HoldClass'])
    .default('HoldAll')
    .describe(
      'HoldClass: only the hardware class that fails waits, or goes back with onFailure RollBack; ' +
        'the others go on',
    ),
  onFailure: z
    .enum(['Pause', 'RollBack'])
    .default('Pause')
    .describe('What happens past the error threshold or at a failed gate'),
  approval: z
    .enum(['None', 'FirstWave', 'EveryWave'])
    .default('None')
    .describe('A person approves before the second wave, or before every wave but the first'),
  onAbort: z
    .enum(['Finish', 'RollBack'])
    .default('Finish')
    .describe('What becomes of devices that are activating when the rollout is aborted'),
  progressDeadlineSeconds: z
    .int()
    .min(1)
    .max(7 * 24 * 3600)
    .default(600)
    .describe('A started device that is online and makes no progress for so long has failed'),
});
export type Strategy = z.infer<typeof strategySchema>;
