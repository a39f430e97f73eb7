import type { ServerResponse } from 'node:http';
import { type ScriptedRequest, sendJson, sendStatus } from './scripted.api.server.ts';

interface StoredObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly resourceVersion: string;
  };
  readonly spec: { readonly text: string };
}

interface StoredEvent {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: StoredObject;
}

const PAGE = 2;

/**
 * One resource of an API server, with lists in pages, watches from a version, and history that can
 * be forgotten. What goes wrong on the way is for the test to script in front of it.
 */
export class ScriptedResource {
  readonly objects = new Map<string, StoredObject>();
  readonly watches = new Set<ServerResponse>();
  #history: StoredEvent[] = [];
  #version = 10;
  #uids = 0;

  set(name: string, text = ''): void {
    const known = this.objects.get(name);
    const metadata = {
      name,
      namespace: 'default',
      uid: known?.metadata.uid ?? `uid-${this.#uids++}`,
      resourceVersion: String(++this.#version),
    };
    const object = { metadata, spec: { text } };
    this.objects.set(name, object);
    this.#happen(known === undefined ? 'ADDED' : 'MODIFIED', object);
  }

  remove(name: string): void {
    const known = this.objects.get(name);
    if (known === undefined) return;
    this.objects.delete(name);
    const metadata = { ...known.metadata, resourceVersion: String(++this.#version) };
    this.#happen('DELETED', { ...known, metadata });
  }

  /** No watch can go on from any version of before. */
  forgetHistory(): void {
    this.#version += 100;
    this.#history = [];
  }

  answer({ query, response }: ScriptedRequest): void {
    if (query.get('watch') === 'true') this.#watch(query, response);
    else this.#list(query.get('continue'), response);
  }

  /** Sent as it is to everyone who watches. */
  say(text: string): void {
    for (const response of this.watches) response.write(text);
  }

  #list(from: string | null, response: ServerResponse): void {
    const start = Number(from ?? 0);
    const all = [...this.objects.values()];
    const next = start + PAGE < all.length ? String(start + PAGE) : undefined;
    const metadata = { resourceVersion: String(this.#version), continue: next };
    sendJson(response, { metadata, items: all.slice(start, start + PAGE) });
  }

  #watch(query: URLSearchParams, response: ServerResponse): void {
    const from = Number(query.get('resourceVersion'));
    const oldest = (this.#history[0]?.version ?? this.#version + 1) - 1;
    if (from < oldest) {
      sendStatus(response, 410, 'Expired');
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    this.watches.add(response);
    const end = setTimeout(() => response.end(), Number(query.get('timeoutSeconds')) * 1000);
    response.on('close', () => {
      clearTimeout(end);
      this.watches.delete(response);
    });
    for (const event of this.#history) if (event.version > from) response.write(line(event));
  }

  #happen(type: StoredEvent['type'], object: StoredObject): void {
    const event = { version: this.#version, type, object };
    this.#history.push(event);
    this.say(line(event));
  }
}

function line({ type, object }: StoredEvent): string {
  return `${JSON.stringify({ type, object })}\n`;
}
