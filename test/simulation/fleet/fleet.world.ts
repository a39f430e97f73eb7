import type { Rollout } from '../../../libs/protocol/src/index.ts';
import { type DeviceScenario, type Scenario, scenarioOf } from './fleet.scenario.ts';
import { SeededRandom } from './seeded.random.ts';
import { SimulatedBroker } from './simulated.broker.ts';
import { type Reconciled, SimulatedController } from './simulated.controller.ts';
import { SimulatedDevice } from './simulated.device.ts';
import { simulatedModel } from './simulated.models.ts';
import { VirtualTime } from './virtual.time.ts';

export const ROLLOUT = 'demo';
const START_MS = Date.parse('2026-11-21T08:00:00.000Z');

/** Controller, broker and devices of one run. */
export class FleetWorld {
  readonly random: SeededRandom;
  readonly time: VirtualTime;
  readonly broker: SimulatedBroker;
  readonly controller: SimulatedController;
  readonly devices: SimulatedDevice[] = [];
  readonly scenario: Scenario;
  readonly lines: string[] = [];
  readonly #isTraced: boolean;
  readonly #onDeviceChanged: () => void;

  constructor(options: {
    seed: number;
    isTraced: boolean;
    onReconciled: (done: Reconciled) => void;
    onDeviceChanged: () => void;
  }) {
    this.#isTraced = options.isTraced;
    this.#onDeviceChanged = options.onDeviceChanged;
    this.random = new SeededRandom(options.seed);
    this.scenario = scenarioOf(this.random, options.seed);
    const { random } = this;
    this.time = new VirtualTime({ startMs: START_MS, random });
    this.broker = new SimulatedBroker({ time: this.time, random });
    this.controller = new SimulatedController({
      ...{ time: this.time, random, broker: this.broker },
      model: simulatedModel(this.scenario.artifacts),
      artifacts: this.scenario.artifacts,
      trace: (line) => this.trace(line),
      onReconciled: options.onReconciled,
    });
    for (const device of this.scenario.devices) this.join(device);
  }

  get rollout(): Rollout {
    const entry = this.controller.record.rollouts.get(ROLLOUT);
    if (entry === undefined) throw new Error('the rollout was not made yet');
    return entry.rollout;
  }

  /** Since the start of the run. */
  get passedMs(): number {
    return this.time.nowMs - this.time.startMs;
  }

  join(device: DeviceScenario): SimulatedDevice {
    const joined = new SimulatedDevice({
      ...device,
      labels: { fleet: 'simulated', site: 'lab' },
      ...{ time: this.time, random: this.random, broker: this.broker },
      behaviourOf: (id) => this.behaviourOf(id),
      trace: (line) => this.trace(line),
      onChange: () => this.#onDeviceChanged(),
    });
    this.devices.push(joined);
    return joined;
  }

  behaviourOf(artifactId: string) {
    const found = this.scenario.artifacts.find(({ artifact }) => artifact.id === artifactId);
    if (found === undefined) throw new Error(`no artifact ${artifactId}`);
    return found.behaviour;
  }

  variantOf(artifactId: string): string {
    const found = this.scenario.artifacts.find(({ artifact }) => artifact.id === artifactId);
    return found?.artifact.variant ?? 'unknown';
  }

  trace(line: string): void {
    if (!this.#isTraced) return;
    this.lines.push(`${(this.passedMs / 1000).toFixed(3).padStart(9)} ${line}`);
  }
}
