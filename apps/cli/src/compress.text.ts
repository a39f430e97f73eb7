import type { EncodedArtifact, EvaluationRecord } from '@entrofleet/artifact';
import { sizeText } from './size.text.ts';

/** What `compress` prints at its end. */
export function compressText(
  path: string,
  result: Omit<EncodedArtifact, 'tensors'> & { readonly evaluation: EvaluationRecord | null },
): string {
  const { ref, totals, evaluation } = result;
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
    ...(evaluation === null ? [] : [perplexityLine(evaluation)]),
    '',
  ].join('\n');
}

function perplexityLine({ perplexity, sourcePerplexity, tokens, rows }: EvaluationRecord): string {
  return (
    `perplexity       ${perplexity.toFixed(4)}, source ${sourcePerplexity.toFixed(4)} ` +
    `(${tokens} tokens of ${rows} rows)`
  );
}
