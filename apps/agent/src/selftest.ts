import { complete, perplexity, runProbe } from '@entrofleet/engine';
import { LIMITS, type Measurement, type Report } from '@entrofleet/protocol';
import { readPeakRssBytes, readTemperatureCelsius } from './capabilities.ts';
import { AgentError } from './errors.ts';
import type { LoadedModel } from './loaded.model.ts';
import type { SelfTestResult } from './update.steps.ts';

const SAMPLE_TOKENS = 60;

/**
 * Runs the target's probe: the logits must be those of the encoder, within the tolerance; then
 * prefill and decode are timed.
 * @throws AgentError `FingerprintMismatch`, or the engine's error.
 */
export async function selfTest(
  model: LoadedModel,
  options: { readonly kind: Measurement['kind']; readonly signal: AbortSignal },
): Promise<SelfTestResult> {
  const { kind, signal } = options;
  const { target, loadFigures: figures, language } = model;
  const result = await runProbe(language, target.probe, { signal });
  if (!result.matches) {
    const { tolerance } = target.probe.fingerprint;
    throw new AgentError(
      'FingerprintMismatch',
      `${target.model} ${target.variant} answers its probe with logits that are ` +
        `${result.deviation.toPrecision(3)} standard deviations off, ${tolerance} are allowed; ` +
        'the weights or the kernels of this device are wrong',
    );
  }
  const measurement: Measurement = {
    kind,
    measuredAt: new Date().toISOString(),
    artifactId: target.artifact.id,
    threads: language.threads,
    prefillTokensPerSecond: result.prefillTokensPerSecond,
    decodeTokensPerSecond: result.decodeTokensPerSecond,
    entropyDecodeGigabytesPerSecond: figures.entropyDecodeGigabytesPerSecond,
    loadSeconds: figures.loadSeconds,
    residency: language.residency?.explanation ?? null,
    peakRssBytes: readPeakRssBytes(),
    temperatureCelsius: readTemperatureCelsius(),
    p95TokenSeconds: result.p95TokenSeconds,
    perplexity: await probePerplexity(model, signal),
    fingerprintDeviation: result.deviation,
  };
  return { measurement, sample: await continuePrompt(model, signal) };
}

/** Of the probe's prompt; null when it is too short to have one. */
async function probePerplexity(model: LoadedModel, signal: AbortSignal): Promise<number | null> {
  const { promptTokens } = model.target.probe;
  if (promptTokens.length < 2) return null;
  return (await perplexity(model.language, [promptTokens], { signal })).perplexity;
}

/** The likeliest continuation of the rollout's sample prompt. */
async function continuePrompt(model: LoadedModel, signal: AbortSignal): Promise<Report['sample']> {
  const prompt = model.target.samplePrompt;
  if (prompt === null) return null;
  const { language, tokenizer } = model;
  const { text } = await complete({
    model: language,
    tokenizer,
    prompt,
    maxTokens: SAMPLE_TOKENS,
    temperature: 0,
    signal,
  });
  return { prompt, text: text.slice(0, LIMITS.sampleTextLength) };
}
