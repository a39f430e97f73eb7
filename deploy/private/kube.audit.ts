import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One request as the API server answered it. */
export interface AuditedRequest {
  /** E.g. `system:serviceaccount:fleet:controller`; empty: of a token that nobody has. */
  readonly user: string;
  /** As in a Role: get, list, watch, create, update, patch, delete. */
  readonly verb: string;
  /** As in a Role, with the subresource: `rollouts/status`; of no object: the path. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  /** Of HTTP. */
  readonly status: number;
  /** When it was received, RFC 3339. */
  readonly at: string;
}

const POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived', 'ResponseStarted'],
  rules: [{ level: 'Metadata' }],
};

/** Options of kube-apiserver by which it writes down every request. */
export async function auditFlags(folder: string): Promise<string[]> {
  const policyPath = join(folder, 'audit-policy.json');
  await writeFile(policyPath, JSON.stringify(POLICY));
  return [`--audit-policy-file=${policyPath}`, `--audit-log-path=${logPath(folder)}`];
}

export async function auditedRequests(folder: string): Promise<AuditedRequest[]> {
  const text = await readFile(logPath(folder), 'utf8').catch(() => '');
  const requests: AuditedRequest[] = [];
  for (const line of text.split('\n')) {
    // The last line may be half written, and a killed server leaves one such line.
    if (!line.endsWith('}')) continue;
    const { user, verb, requestURI, objectRef, responseStatus, ...event } = JSON.parse(line);
    const { resource, subresource, namespace = '', name = '' } = Object(objectRef);
    const path = new URL(requestURI, 'https://kube').pathname;
    requests.push({
      user: user?.username ?? '',
      verb,
      resource: resource === undefined ? path : [resource, subresource].filter(Boolean).join('/'),
      namespace,
      name,
      status: responseStatus?.code ?? 0,
      at: event.requestReceivedTimestamp,
    });
  }
  return requests;
}

function logPath(folder: string): string {
  return join(folder, 'audit.log');
}
