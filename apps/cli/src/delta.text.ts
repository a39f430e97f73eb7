import type { EncodedDelta } from '@entrofleet/artifact';
import { sizeText } from './size.text.ts';

/** What `delta make` prints at its end. */
export function deltaText(path: string, delta: EncodedDelta): string {
  const { ref, baseId, targetId, targetSizeBytes, reuseSizeBytes, items } = delta;
  const share = (of: number) => `${((100 * ref.sizeBytes) / of).toFixed(2)} %`;
  const coded = items.filter(({ kind }) => kind === 'coded').length;
  return [
    `delta            ${path}`,
    `id               ${ref.id}`,
    `base             ${baseId}`,
    `target           ${targetId}`,
    `size             ${ref.sizeBytes} bytes (${sizeText(ref.sizeBytes)})`,
    `of the target    ${share(targetSizeBytes)} of ${sizeText(targetSizeBytes)}`,
    `of new chunks    ${share(reuseSizeBytes)} of ${sizeText(reuseSizeBytes)}`,
    `changed items    ${items.length}, of them coded against the base ${coded}`,
    '',
  ].join('\n');
}
