import { sqnrDb } from '@entrofleet/codec';
import { canonicalJson } from './canonical.json.ts';
import type { EncodeTotals } from './encode.types.ts';
import type { EncodedTensor } from './tensor.encoder.ts';

/** Sums the figures of all tensors; see {@link EncodeTotals} for what is counted. */
export function encodeTotals(tensors: readonly EncodedTensor[]): EncodeTotals {
  let weights = 0;
  let codedWeights = 0;
  let codedBytes = 0;
  let entropyBits = 0;
  let signal = 0;
  let noise = 0;
  for (const tensor of tensors) {
    weights += tensor.weights;
    if (tensor.power === undefined) continue;
    codedWeights += tensor.weights;
    codedBytes += tensor.stats.sizeBytes + Buffer.byteLength(canonicalJson(tensor.json));
    entropyBits += (tensor.stats.entropyBitsPerWeight ?? 0) * tensor.weights;
    signal += tensor.power.signal;
    noise += tensor.power.noise;
  }
  const perWeight = (bits: number) => (codedWeights === 0 ? 0 : bits / codedWeights);
  return {
    weights,
    codedWeights,
    bitsPerWeight: perWeight(codedBytes * 8),
    entropyBitsPerWeight: perWeight(entropyBits),
    sqnrDb: sqnrDb({ signal, noise }),
  };
}
