export type * from './api.types.ts';
export * from './client.error.ts';
export * from './fleet.client.ts';
export * from './watch.ts';
