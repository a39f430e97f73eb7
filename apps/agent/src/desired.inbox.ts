import { type Desired, desiredSchema, LIMITS } from '@entrofleet/protocol';
import { AgentError } from './errors.ts';

/**
 * Reads a desired state from the broker.
 * @returns `null` for an empty message, which only says that nothing is retained any more.
 * @throws AgentError `BadDesired`
 */
export function parseDesired(payload: Uint8Array, device: string): Desired | null {
  if (payload.length === 0) return null;
  if (payload.length > LIMITS.messageBytes) {
    throw new AgentError('BadDesired', `a desired state of ${payload.length} bytes is too large`);
  }
  const parsed = desiredSchema.safeParse(parseJson(payload));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const where = issue?.path.map(String).join('.') ?? '';
    throw new AgentError('BadDesired', `desired state: ${where}: ${issue?.message ?? 'invalid'}`);
  }
  if (parsed.data.device === device) return parsed.data;
  throw new AgentError('BadDesired', `a desired state for ${parsed.data.device} came to ${device}`);
}

function parseJson(payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload).toString('utf8'));
  } catch {
    return undefined;
  }
}
