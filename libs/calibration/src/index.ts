export * from './calibration.error.ts';
export * from './statistics.gatherer.ts';
