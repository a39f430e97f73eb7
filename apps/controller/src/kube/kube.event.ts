import { API_GROUP, API_VERSION } from './custom.resources.ts';
import type { KubeEvent } from './kube.client.ts';

const COMPONENT = 'entrofleet-controller';
const MESSAGE_BYTES = 1024;

/** The event as core/v1 has it. It stands in the namespace of the object that it is about. */
export function eventObject(event: KubeEvent, namespace: string): object {
  const { kind, name, uid } = event.about;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: event.name, namespace },
    involvedObject: { apiVersion: `${API_GROUP}/${API_VERSION}`, kind, namespace, name, uid },
    type: event.type,
    reason: event.reason,
    message: cut(event.message),
    source: { component: COMPONENT },
    reportingComponent: COMPONENT,
    reportingInstance: COMPONENT,
    firstTimestamp: event.at,
    lastTimestamp: event.at,
    count: 1,
  };
}

function cut(message: string): string {
  const bytes = Buffer.from(message);
  if (bytes.length <= MESSAGE_BYTES) return message;
  // A character that is cut in two decodes to the replacement character.
  return bytes
    .subarray(0, MESSAGE_BYTES)
    .toString('utf8')
    .replace(/\uFFFD+$/, '');
}
