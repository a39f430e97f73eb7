import { type Selector, selectorMatches } from '@entrofleet/protocol';
import { Inject, Injectable, type StreamableFile } from '@nestjs/common';
import type { HttpResponse } from '../http/http.types.ts';
import { ChangeFeed } from '../watch/change.feed.ts';
import type { Change } from '../watch/change.ts';
import { ObjectChanges, type WatchedStore } from '../watch/object.changes.store.ts';
import type { WatchSubject } from '../watch/watch.messages.ts';
import { WatchStreams } from '../watch/watch.streams.ts';
import { type FieldRequirement, fieldsMatch } from './field.selector.ts';
import { type ListAnswer, listAnswer } from './list.answer.ts';
import type { ObjectFilter } from './object.filter.sql.ts';
import type { ObjectPage, StoredObject } from './object.types.ts';

/** What lists read of a store. */
export interface ListedStore<Spec, Status> extends WatchedStore {
  list(
    options: ObjectFilter & { limit?: number | undefined; continue?: string | undefined },
  ): Promise<ObjectPage<Spec, Status>>;
}

export interface ObjectListRequest {
  readonly labelSelector?: Selector | undefined;
  readonly fieldSelector?: readonly FieldRequirement[] | undefined;
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
  readonly watch?: boolean | undefined;
  readonly resourceVersion?: string | undefined;
}

/** Answers a list of objects: a page, or, when it is watched, a stream of what happens to them. */
@Injectable()
export class ObjectLists {
  constructor(
    @Inject(ChangeFeed) private readonly feed: ChangeFeed,
    @Inject(ObjectChanges) private readonly changes: ObjectChanges,
    @Inject(WatchStreams) private readonly streams: WatchStreams,
  ) {}

  /** @param lastEventId of the header that a client sends when it comes back to a watch; it wins. */
  async answer<Spec, Status>(
    store: ListedStore<Spec, Status>,
    request: ObjectListRequest,
    http: { lastEventId: string | undefined; response: HttpResponse },
  ): Promise<ListAnswer<StoredObject<Spec, Status>> | StreamableFile> {
    const filter = { selector: request.labelSelector, fields: request.fieldSelector };
    if (request.watch === true) {
      const resourceVersion = http.lastEventId ?? request.resourceVersion;
      const subject = objectSubject(store, this.changes, filter);
      return this.streams.open(subject, { resourceVersion, response: http.response });
    }
    // Read before the objects: a watch from here may repeat some of them, but misses nothing.
    const resourceVersion = String(await this.feed.current());
    const { limit, continue: token } = request;
    const page = await store.list({ ...filter, limit, continue: token });
    return listAnswer(token === undefined ? { ...page, resourceVersion } : page);
  }
}

/** Objects of a store that pass a filter, to be watched. */
export function objectSubject<Spec, Status>(
  store: ListedStore<Spec, Status>,
  changes: ObjectChanges,
  filter: ObjectFilter,
): WatchSubject {
  return {
    source: { kind: store.table, changes: (range) => changes.read(store, range) },
    matches: matcher(filter),
    keysAt: (version) => changes.namesAt(store, version, filter),
    list: async (token) => {
      const page = await store.list({ ...filter, continue: token });
      return { ...page, items: page.items.map(presentObject) };
    },
  };
}

function matcher({ selector, fields = [] }: ObjectFilter): WatchSubject['matches'] {
  if (selector === undefined && fields.length === 0) return undefined;
  return (object) =>
    (selector === undefined || selectorMatches(selector, labelsOf(object))) &&
    fieldsMatch(fields, object);
}

function labelsOf(object: unknown): Record<string, string> {
  return Object(object).metadata.labels;
}

/** It was created at its version at the latest; that is all that a client's view asks for. */
function presentObject(object: StoredObject<unknown, unknown>): Change {
  const version = Number(object.metadata.resourceVersion);
  return {
    key: object.metadata.name,
    version,
    createdVersion: version,
    isDeleted: false,
    object,
  };
}
