import type { components, paths } from './api.schema.ts';

export type { components, paths };

/** Bodies of requests and answers, by the names that the OpenAPI document gives them. */
export type Schemas = components['schemas'];

export type Model = Schemas['Model'];
export type ModelInput = Schemas['ModelInput'];
export type Rollout = Schemas['Rollout'];
export type RolloutInput = Schemas['RolloutInput'];
export type Device = Schemas['Device'];
export type DevicePatch = Schemas['DevicePatch'];
export type Member = Schemas['Member'];
export type Revision = Schemas['Revision'];
export type DryRun = Schemas['DryRun'];
export type Artifact = Schemas['Artifact'];
export type FleetEvent = Schemas['Event'];
