/**
 * Loaded into an agent before it starts: while the file that FAIL_WHILE names is there, a model
 * fails every request as one does whose weights have gone bad.
 */
import { existsSync } from 'node:fs';
import { EngineError, GenerationBatch } from '../../libs/engine/src/index.ts';

const flag = process.env.FAIL_WHILE ?? '';
const { generate } = GenerationBatch.prototype;

GenerationBatch.prototype.generate = async function* (this: GenerationBatch, request) {
  if (existsSync(flag)) throw new EngineError('NonFiniteLogits', 'the logits are not finite');
  yield* generate.call(this, request);
};
