import {
  type FleetClient,
  type Schemas,
  unwrap,
  type WatchEvent,
  type WatchPath,
  type WatchQuery,
  watch,
} from '@entrofleet/client';
import {
  ARTIFACT_COLUMNS,
  type Column,
  DEVICE_COLUMNS,
  EVENT_COLUMNS,
  MEMBER_COLUMNS,
  MODEL_COLUMNS,
  ROLLOUT_COLUMNS,
} from './resource.columns.ts';

/** What a list is asked for; a kind refuses what it does not have. */
export interface ListQuery {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly continue?: string;
}

/** One object, ready to be printed. */
export interface Shown {
  /** What the user calls it. */
  readonly name: string;
  readonly object: object;
  cells(options: { isWide: boolean; nowMs: number }): string[];
}

export interface ShownPage {
  readonly items: readonly Shown[];
  readonly continue?: string;
  readonly resourceVersion?: string;
}

export interface ShownEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly shown: Shown;
}

export interface WatchRequest {
  readonly query: ListQuery & { readonly resourceVersion?: string };
  readonly signal: AbortSignal;
  /** Told when the connection was lost and is made again. */
  readonly onReconnect: (error: Error) => void;
}

/** A kind of object that `get` and `describe` know. */
export interface ResourceKind {
  readonly plural: string;
  /** As in manifests; also what `-o name` prints, in lower case. */
  readonly kind: string;
  readonly selectors: readonly ('labels' | 'fields')[];
  titles(isWide: boolean): string[];
  list(client: FleetClient, query: ListQuery): Promise<ShownPage>;
  read?(client: FleetClient, name: string): Promise<Shown>;
  watch?(client: FleetClient, request: WatchRequest): AsyncGenerator<ShownEvent>;
}

interface List<T> {
  readonly items: readonly T[];
  readonly metadata: { readonly continue?: string; readonly resourceVersion?: string };
}

interface KindParts<T extends object> {
  readonly plural: string;
  readonly kind: string;
  readonly selectors: ResourceKind['selectors'];
  readonly columns: readonly Column<T>[];
  nameOf(object: T): string;
  list(client: FleetClient, query: ListQuery): Promise<List<T>>;
  read?(client: FleetClient, name: string): Promise<T>;
  watch?(client: FleetClient, request: WatchRequest): AsyncGenerator<TypedEvent<T>>;
}

type TypedEvent<T> = { type: ShownEvent['type']; object: T } | { type: 'BOOKMARK'; object: object };

/** Typed inside, alike outside. */
function resourceKind<T extends object>(parts: KindParts<T>): ResourceKind {
  const { columns } = parts;
  const shown = (object: T): Shown => ({
    name: parts.nameOf(object),
    object,
    cells: ({ isWide, nowMs }) =>
      columns.filter((c) => isWide || c.isWide !== true).map((c) => c.cell(object, nowMs)),
  });
  const { read, watch: follow } = parts;
  return {
    plural: parts.plural,
    kind: parts.kind,
    selectors: parts.selectors,
    titles: (isWide) => columns.filter((c) => isWide || c.isWide !== true).map((c) => c.title),
    list: async (client, query) => {
      const { items, metadata } = await parts.list(client, query);
      return { ...metadata, items: items.map(shown) };
    },
    ...(read && { read: async (client, name) => shown(await read(client, name)) }),
    ...(follow && {
      watch: async function* (client, request) {
        for await (const event of follow(client, request)) {
          if (event.type !== 'BOOKMARK') yield { type: event.type, shown: shown(event.object) };
        }
      },
    }),
  };
}

const ofMetadata = ({ metadata }: { metadata: { name: string } }): string => metadata.name;

function follow<P extends WatchPath>(path: P) {
  return (client: FleetClient, request: WatchRequest): AsyncGenerator<WatchEvent<P>> =>
    watch(client, path, { ...request, query: request.query as WatchQuery<P> });
}

const models = resourceKind<Schemas['Model']>({
  plural: 'models',
  kind: 'Model',
  selectors: ['labels', 'fields'],
  columns: MODEL_COLUMNS,
  nameOf: ofMetadata,
  list: (client, query) => unwrap(client.api.GET('/api/v1/models', { params: { query } })),
  read: (client, name) =>
    unwrap(client.api.GET('/api/v1/models/{name}', { params: { path: { name } } })),
  watch: follow('/api/v1/models'),
});

const rollouts = resourceKind<Schemas['Rollout']>({
  plural: 'rollouts',
  kind: 'Rollout',
  selectors: ['labels', 'fields'],
  columns: ROLLOUT_COLUMNS,
  nameOf: ofMetadata,
  list: (client, query) => unwrap(client.api.GET('/api/v1/rollouts', { params: { query } })),
  read: (client, name) =>
    unwrap(client.api.GET('/api/v1/rollouts/{name}', { params: { path: { name } } })),
  watch: follow('/api/v1/rollouts'),
});

const devices = resourceKind<Schemas['Device']>({
  plural: 'devices',
  kind: 'Device',
  selectors: ['labels', 'fields'],
  columns: DEVICE_COLUMNS,
  nameOf: ofMetadata,
  list: (client, query) => unwrap(client.api.GET('/api/v1/devices', { params: { query } })),
  read: (client, name) =>
    unwrap(client.api.GET('/api/v1/devices/{name}', { params: { path: { name } } })),
  watch: follow('/api/v1/devices'),
});

const events = resourceKind<Schemas['Event']>({
  plural: 'events',
  kind: 'Event',
  selectors: ['fields'],
  columns: EVENT_COLUMNS,
  nameOf: ({ id }) => String(id),
  list: (client, query) => unwrap(client.api.GET('/api/v1/events', { params: { query } })),
  watch: follow('/api/v1/events'),
});

const artifacts = resourceKind<Schemas['Artifact']>({
  plural: 'artifacts',
  kind: 'Artifact',
  selectors: [],
  columns: ARTIFACT_COLUMNS,
  nameOf: ({ id }) => id,
  list: (client, query) => unwrap(client.api.GET('/api/v1/artifacts', { params: { query } })),
  read: (client, id) =>
    unwrap(client.api.GET('/api/v1/artifacts/{id}', { params: { path: { id } } })),
});

/** Members have no list over all rollouts: `get members ROLLOUT`. */
export function membersOf(rollout: string): ResourceKind {
  return resourceKind<Schemas['Member']>({
    plural: 'members',
    kind: 'Member',
    selectors: [],
    columns: MEMBER_COLUMNS,
    nameOf: ({ device }) => device,
    list: (client, query) =>
      unwrap(
        client.api.GET('/api/v1/rollouts/{name}/members', {
          params: { path: { name: rollout }, query },
        }),
      ),
  });
}

export const RESOURCE_KINDS: readonly ResourceKind[] = [
  models,
  rollouts,
  devices,
  events,
  artifacts,
];

/** The kind that a user means by `rollout`, `rollouts` or `Rollout`. */
export function findKind(text: string): ResourceKind | undefined {
  const word = text.toLowerCase();
  return RESOURCE_KINDS.find(({ plural, kind }) => plural === word || kind.toLowerCase() === word);
}

/** Every object that a query matches, page by page. */
export async function listAll(
  kind: ResourceKind,
  client: FleetClient,
  query: ListQuery,
): Promise<{ items: Shown[]; resourceVersion?: string }> {
  const items: Shown[] = [];
  let token: string | undefined;
  let first: ShownPage | undefined;
  do {
    const page = await kind.list(client, {
      ...query,
      ...(token === undefined ? {} : { continue: token }),
    });
    first ??= page;
    items.push(...page.items);
    token = page.continue;
  } while (token !== undefined);
  const { resourceVersion } = first;
  return resourceVersion === undefined ? { items } : { items, resourceVersion };
}
