import type { Checkpoint } from '@entrofleet/artifact';
import type { LayerRole, TensorPlace } from '@entrofleet/engine';
import { CalibrationError } from './calibration.error.ts';

/** A matrix or vector of a layer in float32, row-major. */
export interface PlacedWeights {
  readonly place: TensorPlace;
  readonly data: Float32Array;
}

export type LayerWeights = Readonly<Partial<Record<LayerRole, PlacedWeights>>>;

/** Reads all tensors of one layer; of a fused tensor, the rows of each role. */
export async function readLayer(
  checkpoint: Checkpoint,
  places: Readonly<Partial<Record<LayerRole, TensorPlace>>>,
): Promise<LayerWeights> {
  const whole = new Map<string, Float32Array>();
  const layer: Partial<Record<LayerRole, PlacedWeights>> = {};
  for (const [role, place] of Object.entries(places) as [LayerRole, TensorPlace][]) {
    const data = whole.get(place.name) ?? (await readWeights(checkpoint, place));
    whole.set(place.name, data);
    const begin = place.firstRow * place.columns;
    const part = data.subarray(begin, begin + place.rowCount * place.columns);
    layer[role] = { place, data: part };
  }
  return layer;
}

/** @throws CalibrationError when the tensor is missing or has another shape. */
export async function readWeights(
  checkpoint: Checkpoint,
  place: TensorPlace,
): Promise<Float32Array> {
  requireShape(checkpoint, place);
  const tensor = await checkpoint.readResident(place.name);
  if (tensor.format === 'f32') return tensor.data;
  throw new CalibrationError('BadShape', `tensor ${place.name} is quantized already`);
}

/** @throws CalibrationError `MissingTensor` or `BadShape`. */
export function requireShape(checkpoint: Checkpoint, place: TensorPlace): void {
  const tensor = checkpoint.tensors.find(({ name }) => name === place.name);
  if (tensor === undefined) {
    throw new CalibrationError(
      'MissingTensor',
      `${checkpoint.path} has no tensor ${place.name}, which its config.json asks for`,
    );
  }
  const elements = tensor.shape.reduce((product, size) => product * size, 1);
  if (elements === place.rows * place.columns) return;
  throw new CalibrationError(
    'BadShape',
    `tensor ${place.name} has ${elements} elements; config.json asks for ` +
      `${place.rows} x ${place.columns}`,
  );
}

/** @throws CalibrationError `MissingTensor` when the layer has no such role. */
export function requireRole(layer: LayerWeights, role: LayerRole): PlacedWeights {
  const found = layer[role];
  if (found !== undefined) return found;
  throw new CalibrationError('MissingTensor', `a layer of the model has no ${role} weights`);
}
