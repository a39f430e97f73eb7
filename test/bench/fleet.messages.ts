import type { FleetCounts } from './fleet.device.ts';

/** What the benchmark wants of its simulator. */
export type SimulatorCommand = { readonly id: number } & (
  | {
      readonly kind: 'Connect';
      readonly port: number;
      /** Devices that are connected afterwards, those before included. */
      readonly devices: number;
      readonly phaseMs: number;
    }
  | { readonly kind: 'Report'; readonly intervalMs: number }
  /** No more reports without news. */
  | { readonly kind: 'Rest' }
  | { readonly kind: 'Count' }
);

export interface SimulatorAnswer extends FleetCounts {
  readonly id: number;
  /** Reports handed to connections. */
  readonly sent: number;
  readonly cpuMs: number;
}
