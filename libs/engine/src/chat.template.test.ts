import { describe, expect, it } from 'vitest';
import * as published from '../test/chat.templates.ts';
import { type ChatMessage, createChatTemplate, type RenderOptions } from './chat.template.ts';
import { formatDate } from './date.format.ts';

const system: ChatMessage = { role: 'system', content: 'Be brief.' };
const user: ChatMessage = { role: 'user', content: ' Hi! ' };
const assistant: ChatMessage = { role: 'assistant', content: 'Hello.' };
const again: ChatMessage = { role: 'user', content: 'And {{ you }}?' };
const chat = [user, assistant, again];

const tokenizerConfig = { bos_token: '<s>', eos_token: { content: '</s>', lstrip: false } };
const now = () => new Date(2024, 6, 5, 9, 4);

function render(
  chatTemplate: string,
  messages: readonly ChatMessage[],
  options: Partial<RenderOptions> = {},
): string {
  const template = createChatTemplate({ tokenizerConfig, chatTemplate, now });
  if (template === undefined) throw new Error('no template');
  return template.render(messages, { addGenerationPrompt: true, ...options });
}

/** A turn of ChatML. */
const turn = (role: string, content: string) => `<|im_start|>${role}\n${content}<|im_end|>\n`;
/** A turn of Llama 3. */
const headed = (role: string, content: string) =>
  `<|start_header_id|>${role}<|end_header_id|>\n\n${content}<|eot_id|>`;

describe('published templates', () => {
  it('Llama 2', () => {
    expect(render(published.LLAMA_2, [system, ...chat])).toBe(
      '<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n Hi! [/INST] Hello. </s>' +
        '<s>[INST] And {{ you }}? [/INST]',
    );
  });

  it('Llama 3', () => {
    const turns =
      headed('system', 'Be brief.') +
      headed('user', 'Hi!') +
      headed('assistant', 'Hello.') +
      headed('user', 'And {{ you }}?');
    expect(render(published.LLAMA_3, [system, ...chat], { addGenerationPrompt: false })).toBe(
      `<s>${turns}`,
    );
    expect(render(published.LLAMA_3, [system, ...chat])).toBe(
      `<s>${turns}<|start_header_id|>assistant<|end_header_id|>\n\n`,
    );
  });

  it('Llama 3.2, with the date', () => {
    const head = 'Cutting Knowledge Date: December 2023\nToday Date: 05 Jul 2024\n\n';
    expect(render(published.LLAMA_3_2, [system, user], { addGenerationPrompt: false })).toBe(
      `<s>${headed('system', `${head}Be brief.`)}${headed('user', 'Hi!')}`,
    );
    const variables = { date_string: '1 Jan 2020' };
    expect(render(published.LLAMA_3_2, [user], { variables })).toContain('Today Date: 1 Jan 2020');
  });

  it('Mistral', () => {
    expect(render(published.MISTRAL, chat)).toBe(
      '<s>[INST]  Hi!  [/INST]Hello.</s>[INST] And {{ you }}? [/INST]',
    );
  });

  it('Phi-3', () => {
    expect(render(published.PHI_3, [system, user])).toBe(
      '<|system|>\nBe brief.<|end|>\n<|user|>\n Hi! <|end|>\n<|assistant|>\n',
    );
    expect(render(published.PHI_3, [user, assistant], { addGenerationPrompt: false })).toBe(
      '<|user|>\n Hi! <|end|>\n<|assistant|>\nHello.<|end|>\n</s>',
    );
  });

  it('Zephyr', () => {
    expect(render(published.ZEPHYR, [system, user])).toBe(
      '<|system|>\nBe brief.</s>\n<|user|>\n Hi! </s>\n<|assistant|>\n',
    );
  });

  it('SmolLM2', () => {
    const turns = turn('user', ' Hi! ') + turn('assistant', 'Hello.');
    expect(render(published.SMOLLM2, [user, assistant], { addGenerationPrompt: false })).toBe(
      turn('system', 'You are a helpful AI assistant named SmolLM, trained by Hugging Face') +
        turns,
    );
    expect(render(published.SMOLLM2, [system, user])).toBe(
      `${turn('system', 'Be brief.')}${turn('user', ' Hi! ')}<|im_start|>assistant\n`,
    );
  });

  it('Qwen2.5', () => {
    const named = 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.';
    expect(render(published.QWEN_2_5, [user, assistant, again])).toBe(
      `${turn('system', named)}${turn('user', ' Hi! ')}${turn('assistant', 'Hello.')}` +
        `${turn('user', 'And {{ you }}?')}<|im_start|>assistant\n`,
    );
  });

  it('Qwen3, which drops old thoughts and can be told not to think', () => {
    const thought = { role: 'assistant', content: '<think>\nHm.\n</think>\n\nHello.' };
    const turns =
      turn('user', ' Hi! ') + turn('assistant', 'Hello.') + turn('user', 'And {{ you }}?');
    const messages = [user, thought, again];
    expect(render(published.QWEN_3, messages)).toBe(`${turns}<|im_start|>assistant\n`);
    expect(render(published.QWEN_3, messages, { variables: { enable_thinking: false } })).toBe(
      `${turns}<|im_start|>assistant\n<think>\n\n</think>\n\n`,
    );
    expect(render(published.QWEN_3, [user, thought], { addGenerationPrompt: false })).toBe(
      turn('user', ' Hi! ') + turn('assistant', '<think>\nHm.\n</think>\n\nHello.'),
    );
  });

  it('refuse roles that do not alternate', () => {
    for (const template of [published.MISTRAL, published.LLAMA_2]) {
      expect(() => render(template, [user, user])).toThrow(
        expect.objectContaining({
          reason: 'BadMessages',
          message: expect.stringMatching(/refuses the messages: Conversation roles must alternate/),
        }),
      );
    }
  });
});

describe('createChatTemplate', () => {
  const messages = [user];
  const options = { addGenerationPrompt: false };

  it('takes the file before the configuration, and of several the default', () => {
    const create = (chat_template: unknown, chatTemplate?: string) =>
      createChatTemplate({ tokenizerConfig: { chat_template }, chatTemplate });
    expect(create('a')?.render(messages, options)).toBe('a');
    expect(create('a', 'b')?.render(messages, options)).toBe('b');
    const list = [
      { name: 'tool_use', template: 'tool' },
      { name: 'default', template: 'plain' },
    ];
    expect(create(list)?.render(messages, options)).toBe('plain');
    expect(create({ default: 'plain', rag: 'x' })?.render(messages, options)).toBe('plain');
    expect(create(null)).toBeUndefined();
    expect(create(undefined)).toBeUndefined();
    expect(createChatTemplate({})).toBeUndefined();
    expect(() => create([{ name: 'rag', template: 'x' }])).toThrow(
      /none of the named ones \(rag\)/,
    );
  });

  it('knows the special tokens, those of special_tokens_map.json too', () => {
    const template = createChatTemplate({
      chatTemplate: '{{ bos_token }}|{{ eos_token }}|{{ pad_token is defined }}',
      tokenizerConfig: { bos_token: '<s>', pad_token: null },
      specialTokensMap: { bos_token: '<other>', eos_token: { content: '</s>' } },
    });
    expect(template?.render(messages, options)).toBe('<s>|</s>|false');
  });

  it.each([
    ['{% if %}', /no Jinja template/],
    ['{{ "a" ', /no Jinja template/],
    ['x'.repeat(300_000), /has 300000 characters/],
    ['{{ messages.foo() }}', /fails with these messages/],
    ["{{ ''.constructor.constructor('return 1')() }}", /fails with these messages/],
    ['{% for i in range(100000000) %}a{% endfor %}', /range\(\) has more/],
    [
      '{% set r = range(9000) %}{% for i in r %}{% for j in r if j %}{% endfor %}{% endfor %}',
      /steps/,
    ],
    ['{% for i in range(9000) %}{% for j in range(9000) %}{% endfor %}{% endfor %}', /steps/],
    [
      "{% set n = namespace(s='ab') %}{% for i in range(40) %}{% set n.s = n.s + n.s %}{% endfor %}",
      /steps/,
    ],
    [
      '{% set n = namespace(s=[1]) %}{% for i in range(40) %}{% set n.s = n.s + n.s %}{% endfor %}',
      /steps/,
    ],
  ])('refuses %j', (chatTemplate, message) => {
    expect(() => createChatTemplate({ chatTemplate })?.render(messages, options)).toThrow(
      expect.objectContaining({
        reason: 'BadChatTemplate',
        message: expect.stringMatching(message),
      }),
    );
  });

  it('renders long chats', () => {
    const long = Array.from({ length: 4000 }, (_, i) => ({
      role: i % 2 === 0 ? 'user' : 'assistant',
      content: 'word '.repeat(200),
    }));
    for (const chatTemplate of [published.LLAMA_2, published.QWEN_3, published.LLAMA_3_2]) {
      expect(render(chatTemplate, long).length).toBeGreaterThan(4000 * 999);
    }
  });

  it('leads to no JavaScript object', () => {
    const texts = ['messages.__proto__', 'messages[0].constructor', "''.__class__", 'toString'];
    for (const text of texts) {
      const template = createChatTemplate({ chatTemplate: `{{ ${text} is defined }}` });
      expect(template?.render(messages, options)).toBe('false');
    }
  });

  it.each([
    [[], /at least one/],
    [Array.from({ length: 20_000 }, () => user), /at most/],
    [[{ role: 'user', content: 'x'.repeat(5_000_000) }], /characters together/],
  ])('refuses messages %#', (bad, message) => {
    const template = createChatTemplate({ chatTemplate: '' });
    expect(() => template?.render(bad, options)).toThrow(
      expect.objectContaining({ reason: 'BadMessages', message: expect.stringMatching(message) }),
    );
  });
});

it('formats dates as strftime does, in English', () => {
  expect(formatDate(now(), '%Y-%m-%d %H:%M:%S %B %b %A %a %y %I%p %-d %-H %% %Q')).toBe(
    '2024-07-05 09:04:00 July Jul Friday Fri 24 09AM 5 9 % %Q',
  );
});
