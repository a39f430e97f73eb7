import { z } from 'zod';

/** Of a text that is no `Status`, so much is quoted. */
const TEXT_MAX = 300;

/** What every failed call to the API server throws; `reason` is CamelCase and stable. */
export class KubeError extends Error {
  readonly reason: string;
  /** HTTP status of the answer; `undefined` when there was none. */
  readonly status: number | undefined;

  constructor(
    failure: { readonly reason: string; readonly message: string; readonly status?: number },
    options?: ErrorOptions,
  ) {
    super(failure.message, options);
    this.name = new.target.name;
    this.reason = failure.reason;
    this.status = failure.status;
  }
}

/** No usable answer within the deadline: no connection, silence, 429 or 5xx. Try again later. */
export class KubeUnavailable extends KubeError {}

/** 401, also with credentials that were read anew. */
export class KubeUnauthorized extends KubeError {}

/** 403: the service account's Role lacks a verb; the message names it. */
export class KubeForbidden extends KubeError {}

/** 404 of a write: the object is not there, or not any more. */
export class KubeNotFound extends KubeError {}

/** 409 `Conflict`: the object is not the version (or not the object) that was meant. Read again. */
export class KubeConflict extends KubeError {}

/** 409 `AlreadyExists` of a create. */
export class KubeAlreadyExists extends KubeError {}

/** 410: the history that was asked for, or a list's `continue`, is gone. List again. */
export class KubeGone extends KubeError {}

/** 400, 413 or 422: the API server refuses the content. The same call never succeeds. */
export class KubeInvalid extends KubeError {}

const CLASS_OF_STATUS: Readonly<Record<number, typeof KubeError>> = {
  401: KubeUnauthorized,
  403: KubeForbidden,
  404: KubeNotFound,
  410: KubeGone,
  429: KubeUnavailable,
};

/** A `Status` (meta/v1), as the API server answers a failed call or says in a watch. */
const statusSchema = z.object({ message: z.string().optional(), reason: z.string().optional() });

/**
 * The error for an answer that is none of success.
 * @param call what was asked, for the message: `PUT /apis/...`.
 * @param body a `Status` as JSON, or whatever a proxy on the way said instead.
 */
export function kubeError(answer: { call: string; status: number; body: string }): KubeError {
  const { call, status } = answer;
  const said = statusIn(answer.body);
  const reason = said.reason || `Http${status}`;
  const text = said.message || answer.body.slice(0, TEXT_MAX).trim() || 'no message';
  return new (classOf(status, reason))({ reason, message: `${call}: ${status} ${text}`, status });
}

function classOf(status: number, reason: string): typeof KubeError {
  if (status === 409) return reason === 'AlreadyExists' ? KubeAlreadyExists : KubeConflict;
  return CLASS_OF_STATUS[status] ?? (status >= 500 ? KubeUnavailable : KubeInvalid);
}

function statusIn(body: string): z.infer<typeof statusSchema> {
  try {
    return statusSchema.parse(JSON.parse(body));
  } catch {
    return {};
  }
}
