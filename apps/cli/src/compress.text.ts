import type { EncodedArtifact } from '@entrofleet/artifact';
import { sizeText } from './size.text.ts';

/** What `compress` prints at its end. */
export function compressText(path: string, encoded: Omit<EncodedArtifact, 'tensors'>): string {
  const { ref, totals } = encoded;
  const sqnr = totals.sqnrDb === null ? 'no error' : `${totals.sqnrDb.toFixed(2)} dB`;
  const { bitsPerWeight, entropyBitsPerWeight } = totals;
  const over =
    entropyBitsPerWeight > 0
      ? ` (${((bitsPerWeight / entropyBitsPerWeight - 1) * 100).toFixed(2)} % over entropy)`
      : '';
  return [
    `artifact         ${path}`,
    `id               ${ref.id}`,
    `size             ${ref.sizeBytes} bytes (${sizeText(ref.sizeBytes)})`,
    `weights          ${totals.weights}, of them coded ${totals.codedWeights}`,
    `bits per weight  ${bitsPerWeight.toFixed(3)}${over}`,
    `entropy          ${entropyBitsPerWeight.toFixed(3)} bits per weight`,
    `SQNR             ${sqnr}`,
    '',
  ].join('\n');
}
