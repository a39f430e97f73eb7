export * from './code.lengths.ts';
export * from './codec.error.ts';
export * from './lanes.code.ts';
export * from './lanes.reference.ts';
export * from './rate.allocation.ts';
export * from './reference.decoder.ts';
export * from './statistics.ts';
export * from './tensor.quantize.ts';
