import type { Report, Target } from '@entrofleet/protocol';
import OpenAI from 'openai';
import { type AgentProcess, startAgentFromSource } from './agent.process.ts';
import type { EncodedModel } from './encoded.model.ts';
import { ScriptedController } from './scripted.controller.ts';
import { startMosquitto } from './services.ts';

const DEVICE = 'edge-1';

/** A template of the plainest kind. */
export const CHAT_TEMPLATE =
  '{{ bos_token }}{% for message in messages %}' +
  "{% if message.role == 'system' and not loop.first %}" +
  "{{ raise_exception('a system message goes first') }}{% endif %}" +
  '{{ message.role }} {{ message.content }}. {% endfor %}' +
  '{% if add_generation_prompt %}assistant {% endif %}';

export interface ServingAgent {
  readonly agent: AgentProcess;
  readonly client: OpenAI;
  /** Rolls a model out to it and waits until it serves. */
  serve(encoded: EncodedModel): Promise<void>;
}

/** An agent that has been rolled a model out to, with OpenAI's client for it. */
export async function startServingAgent(use: {
  readonly models: readonly EncodedModel[];
  readonly environment?: Readonly<Record<string, string>>;
}): Promise<ServingAgent> {
  const broker = await startMosquitto();
  const controller = await ScriptedController.connect(broker.url, DEVICE);
  for (const { target, source } of use.models) controller.serve(target.artifact.id, source);
  const environment = use.environment ?? {};
  const agent = await startAgentFromSource({ device: DEVICE, mqttUrl: broker.url, environment });
  const baseURL = `${agent.url}/v1`;
  const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0, timeout: 30_000 });
  const serve = async ({ target }: EncodedModel): Promise<void> => {
    await controller.want(target);
    await controller.reported(isActive(target));
  };
  const [first] = use.models;
  if (first !== undefined) await serve(first);
  return { agent, client, serve };
}

const isActive = (target: Target) => (report: Report) =>
  report.phase === 'Active' && report.active?.artifactId === target.artifact.id;
