export * from './chat.template.ts';
export type { Residency } from './coded.matrices.ts';
export * from './engine.error.ts';
export * from './generate.ts';
export * from './generation.batch.ts';
export type {
  FinishReason,
  GeneratedPiece,
  PromptScore,
  SequenceOptions,
} from './generation.sequence.ts';
export * from './language.model.ts';
export * from './machine.constants.ts';
export * from './memory.figures.ts';
export * from './model.config.ts';
export * from './model.defaults.ts';
export * from './model.loader.ts';
export * from './model.text.ts';
export * from './perplexity.ts';
export * from './probe.ts';
export * from './random.source.ts';
export {
  type MatrixForm,
  RESIDENCY_FORMS,
  type ResidencyForm,
} from './residency.plan.ts';
export type { RopeConfig, RopeScaling } from './rope.config.ts';
export type { RotaryPrecision } from './rotary.frequencies.ts';
export * from './sample.rows.ts';
export * from './sampler.ts';
export * from './sampling.options.ts';
export * from './tensor.names.ts';
export * from './throughput.ts';
export * from './token.logprobs.ts';
export * from './tokenizer.ts';
export type { CodedMatrixSource, WeightSource } from './weight.source.ts';
