import type { ModelConfig } from '@entrofleet/engine';
import type { CalibrationSpec } from '@entrofleet/protocol';
import { readTokenFile } from './token.file.ts';

const USE = {
  what: 'calibration tokens',
  reason: 'BadCalibrationTokens',
  pointer: '/spec/variants',
} as const;

/**
 * Reads the rows that a variant is calibrated on.
 * @throws SourceError `BadCalibrationTokens`.
 */
export function readCalibrationTokens(
  { tokensPath, skipRows, rows }: CalibrationSpec,
  config: ModelConfig,
): Promise<number[][]> {
  const range = { skipRows, rows, rowTokens: config.contextLength };
  return readTokenFile(tokensPath, { use: USE, range, config });
}
