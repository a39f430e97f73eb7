import { z } from 'zod';
import { EngineError } from './engine.error.ts';
import { ENGINE_LIMITS } from './limits.ts';
import {
  parseTemplate,
  renderTemplate,
  type TemplateProgram,
  TemplateRefusal,
} from './template.interpreter.ts';

export interface ChatMessage {
  /** `system`, `user` or `assistant` in most templates. */
  readonly role: string;
  readonly content: string;
}

export interface RenderOptions {
  /** Whether the text ends where the assistant's answer begins. */
  readonly addGenerationPrompt: boolean;
  /** JSON values that a template may look at besides, e.g. `enable_thinking` of Qwen3. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
}

/** Turns the messages of a chat into the text that a model was trained to continue. */
export interface ChatTemplate {
  /**
   * The text has begin-of-sequence and all other special tokens written out: encode it with
   * `{ special: false }`.
   * @throws EngineError `BadMessages` when the template refuses the messages, or they are none or
   * too long; `BadChatTemplate` when it fails.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions): string;
}

export interface ChatTemplateFiles {
  /** Parsed tokenizer_config.json. */
  readonly tokenizerConfig?: unknown;
  /** Text of chat_template.jinja, which goes before tokenizer_config.json's template. */
  readonly chatTemplate?: string | undefined;
  /** Parsed special_tokens_map.json, for tokens that tokenizer_config.json does not name. */
  readonly specialTokensMap?: unknown;
  /** For templates that write the date. Default: the machine's clock. */
  readonly now?: () => Date;
}

const SPECIAL_TOKENS = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
] as const;

const tokenText = z.union([z.string(), z.object({ content: z.string() })]).nullish();
const specialTokensSchema = z.object(
  Object.fromEntries(SPECIAL_TOKENS.map((name) => [name, tokenText])),
);
const templatesSchema = z.object({
  chat_template: z
    .union([
      z.string(),
      z.array(z.object({ name: z.string(), template: z.string() })),
      z.record(z.string(), z.string()),
    ])
    .nullish(),
});

/**
 * The chat template of a model; of several named ones that called `default`.
 * @returns `undefined` when the model has none.
 * @throws EngineError `BadChatTemplate`.
 */
export function createChatTemplate(files: ChatTemplateFiles): ChatTemplate | undefined {
  const text = files.chatTemplate ?? configuredTemplate(files.tokenizerConfig ?? {});
  if (text === undefined) return undefined;
  const program = parseText(text);
  const specialTokens = {
    ...readSpecialTokens(files.specialTokensMap ?? {}, 'special_tokens_map.json'),
    ...readSpecialTokens(files.tokenizerConfig ?? {}, 'tokenizer_config.json'),
  };
  const now = files.now ?? (() => new Date());
  return {
    render: (messages, options) => {
      assertMessages(messages);
      const variables = {
        ...{ tools: null, documents: null },
        ...options.variables,
        ...specialTokens,
        messages: messages.map(({ role, content }) => ({ role, content })),
        add_generation_prompt: options.addGenerationPrompt,
      };
      return render(program, { variables, now, steps: stepsFor(messages) });
    },
  };
}

function parseText(text: string): TemplateProgram {
  if (text.length > ENGINE_LIMITS.chatTemplateLength) {
    throw bad(`has ${text.length} characters; ${ENGINE_LIMITS.chatTemplateLength} are the most`);
  }
  try {
    return parseTemplate(text);
  } catch (cause) {
    throw bad(`is no Jinja template that can be read: ${messageOf(cause)}`, { cause });
  }
}

function render(
  program: TemplateProgram,
  use: { variables: Record<string, unknown>; now: () => Date; steps: number },
): string {
  const bounds = {
    steps: use.steps,
    rangeLength: ENGINE_LIMITS.chatTemplateRange,
  };
  try {
    return renderTemplate(program, { variables: use.variables, now: use.now, bounds });
  } catch (cause) {
    if (!(cause instanceof TemplateRefusal)) {
      throw bad(`fails with these messages: ${messageOf(cause)}`, { cause });
    }
    const message = `the model's chat template refuses the messages: ${cause.message}`;
    throw new EngineError('BadMessages', message, { cause });
  }
}

function configuredTemplate(tokenizerConfig: unknown): string | undefined {
  const parsed = templatesSchema.safeParse(tokenizerConfig);
  if (!parsed.success) {
    throw bad('in tokenizer_config.json is neither a text nor a list of names and texts');
  }
  const found = parsed.data.chat_template ?? undefined;
  if (found === undefined || typeof found === 'string') return found;
  const named = Array.isArray(found)
    ? new Map(found.map(({ name, template }) => [name, template]))
    : new Map(Object.entries(found));
  const text = named.get('default');
  if (text !== undefined) return text;
  throw bad(`in tokenizer_config.json is none of the named ones (${[...named.keys()].join(', ')})`);
}

function readSpecialTokens(json: unknown, file: string): Record<string, string> {
  const parsed = specialTokensSchema.safeParse(json);
  if (!parsed.success) {
    const field = parsed.error.issues[0]?.path.join('.') ?? '';
    throw new EngineError('BadTokenizer', `${file}: ${field} is no token`);
  }
  const texts: Record<string, string> = {};
  for (const [name, token] of Object.entries(parsed.data)) {
    if (token != null) texts[name] = typeof token === 'string' ? token : token.content;
  }
  return texts;
}

/** Grows with the chat, as templates look at all that was said several times. */
function stepsFor(messages: readonly ChatMessage[]): number {
  const { chatTemplateSteps, chatTemplateStepsPerMessage } = ENGINE_LIMITS;
  const characters = lengthOf(messages);
  return chatTemplateSteps + chatTemplateStepsPerMessage * messages.length + characters;
}

function lengthOf(messages: readonly ChatMessage[]): number {
  return messages.reduce((sum, { content }) => sum + content.length, 0);
}

function assertMessages(messages: readonly ChatMessage[]): void {
  const refuse = (message: string) => new EngineError('BadMessages', message);
  if (messages.length === 0) throw refuse('a chat needs at least one message');
  if (messages.length > ENGINE_LIMITS.chatMessages) {
    throw refuse(`a chat has at most ${ENGINE_LIMITS.chatMessages} messages`);
  }
  if (lengthOf(messages) > ENGINE_LIMITS.chatLength) {
    throw refuse(`the messages have more than ${ENGINE_LIMITS.chatLength} characters together`);
  }
}

function bad(message: string, options?: ErrorOptions): EngineError {
  return new EngineError('BadChatTemplate', `the model's chat template ${message}`, options);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
