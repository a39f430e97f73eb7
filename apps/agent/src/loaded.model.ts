import { type ArtifactReader, openArtifact } from '@entrofleet/artifact';
import {
  createTokenizer,
  generate,
  type LanguageModel,
  loadModel,
  type ModelConfig,
  type Tokenizer,
} from '@entrofleet/engine';
import type { Target } from '@entrofleet/protocol';
import { AgentError } from './errors.ts';
import type { GenerationPiece, GenerationRequest, ServedModel } from './serve/served.model.ts';

export interface LoadFigures {
  /** From opening the file to a model that can run. */
  readonly loadSeconds: number;
  /** null when no tensor is entropy coded. */
  readonly entropyDecodeGigabytesPerSecond: number | null;
}

/** A model decoded from its artifact, with what its loading has measured. */
export class LoadedModel implements ServedModel {
  target: Target;
  readonly language: LanguageModel;
  readonly tokenizer: Tokenizer;
  readonly figures: LoadFigures;

  constructor(use: {
    target: Target;
    language: LanguageModel;
    tokenizer: Tokenizer;
    figures: LoadFigures;
  }) {
    this.target = use.target;
    this.language = use.language;
    this.tokenizer = use.tokenizer;
    this.figures = use.figures;
  }

  get contextLength(): number {
    return Math.min(this.target.contextLength, this.language.config.contextLength);
  }

  async *generate(request: GenerationRequest): AsyncGenerator<GenerationPiece> {
    const { prompt, ...options } = request;
    const tokens = typeof prompt === 'string' ? this.tokenizer.encode(prompt) : prompt;
    const { language: model, tokenizer, contextLength } = this;
    let completionTokens = 0;
    for await (const piece of generate({
      ...{ model, tokenizer, contextLength, prompt: tokens },
      ...options,
    })) {
      if (piece.tokenId !== null) completionTokens++;
      if (piece.text !== '') yield { kind: 'Text', text: piece.text };
      if (piece.finishReason === null) continue;
      const usage = { promptTokens: tokens.length, completionTokens };
      yield { kind: 'End', finishReason: piece.finishReason, usage };
    }
  }

  close(): void {
    this.language.close();
  }
}

export interface LoadTarget {
  readonly target: Target;
  readonly path: string;
  readonly threads: number;
  readonly signal: AbortSignal;
}

/**
 * Decodes an artifact in parallel into a model that can run. Every chunk read is verified.
 * @throws ArtifactError, EngineError, or AgentError `HashMismatch` when the file holds another
 *   artifact.
 */
export async function loadArtifact(use: LoadTarget): Promise<LoadedModel> {
  const { target, path, threads, signal } = use;
  const startMs = performance.now();
  const reader = await openArtifact(path);
  try {
    if (reader.ref.id !== target.artifact.id) {
      throw new AgentError('HashMismatch', `${path} holds artifact ${reader.ref.id}`);
    }
    const source = {
      config: reader.config,
      tensorNames: reader.tensorNames,
      readResident: (name: string, { signal }: { signal?: AbortSignal | undefined } = {}) =>
        reader.readResident(name, { threads, signal }),
      coded: reader,
    };
    const language = await loadModel(source, { threads, signal });
    const tokenizer = await readTokenizer(reader, language.config);
    const loadSeconds = (performance.now() - startMs) / 1000;
    const { decodedBytes, decodeSeconds } = reader.decodeStatistics;
    const rate = decodeSeconds > 0 ? decodedBytes / decodeSeconds / 1e9 : null;
    const figures = { loadSeconds, entropyDecodeGigabytesPerSecond: rate };
    return new LoadedModel({ target, language, tokenizer, figures });
  } finally {
    await reader.close();
  }
}

async function readTokenizer(reader: ArtifactReader, config: ModelConfig): Promise<Tokenizer> {
  const tokenizerJson = await readJson(reader, 'tokenizer.json');
  const tokenizerConfig = reader.fileNames.includes('tokenizer_config.json')
    ? await readJson(reader, 'tokenizer_config.json')
    : undefined;
  const { bosTokenId, eosTokenIds } = config;
  return createTokenizer({ tokenizerJson, tokenizerConfig, bosTokenId, eosTokenIds });
}

async function readJson(reader: ArtifactReader, name: string): Promise<unknown> {
  const text = Buffer.from(await reader.readFile(name)).toString('utf8');
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = `${name} in artifact ${reader.ref.id} is not JSON; compress the model again`;
    throw new AgentError('BadTokenizer', message, { cause });
  }
}
