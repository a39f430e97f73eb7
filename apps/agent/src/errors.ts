import { LIMITS } from '@entrofleet/protocol';

/** Why a step of the agent failed: `reason` is stable CamelCase, `message` says what to do. */
export interface Failure {
  readonly reason: string;
  readonly message: string;
}

/** An error of the agent itself, with the reason it is reported under. */
export class AgentError extends Error {
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AgentError';
    this.reason = reason;
  }
}

const REASON = /^[A-Z][A-Za-z0-9]*$/;
const REASON_OF_SYSTEM_CODE: Readonly<Record<string, string>> = {
  ENOSPC: 'DiskFull',
  EDQUOT: 'DiskFull',
  EROFS: 'DiskReadOnly',
  EIO: 'DiskError',
  ERR_MEMORY_ALLOCATION_FAILED: 'DoesNotFit',
};

/**
 * Reads what went wrong from any thrown value: the `reason` of our own typed errors, the `code` of
 * the native addon's, and the errno of the system's. Anything else is `Internal`.
 */
export function failureOf(thrown: unknown): Failure {
  const message = (thrown instanceof Error ? thrown.message : String(thrown)) || 'unknown error';
  return { reason: reasonOf(thrown), message: message.slice(0, LIMITS.errorMessageLength) };
}

function reasonOf(thrown: unknown): string {
  if (typeof thrown !== 'object' || thrown === null) return 'Internal';
  if ('reason' in thrown && typeof thrown.reason === 'string' && REASON.test(thrown.reason)) {
    return thrown.reason;
  }
  const code = systemCode(thrown);
  if (code === undefined) return 'Internal';
  const known = REASON_OF_SYSTEM_CODE[code];
  if (known !== undefined) return known;
  return REASON.test(code) && !/^E[A-Z0-9]+$/.test(code) ? code : 'Internal';
}

/** The `code` of a system error, e.g. `ENOENT`. */
export function systemCode(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}
