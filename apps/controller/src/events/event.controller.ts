import { eventSchema, type FleetEvent, instantSchema, nameSchema } from '@entrofleet/protocol';
import { Controller, Get, Headers, Inject, Res, type StreamableFile } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import type { HttpResponse } from '../http/http.types.ts';
import { fieldSelectorSchema, watchQuerySchema } from '../http/list.query.ts';
import { WatchableList } from '../http/watchable.list.ts';
import { TakesQuery, ZodQuery } from '../http/zod.pipe.ts';
import { type ListAnswer, listAnswer } from '../objects/list.answer.ts';
import { ChangeFeed } from '../watch/change.feed.ts';
import { WatchStreams } from '../watch/watch.streams.ts';
import { EVENT_FIELDS } from './event.fields.ts';
import { EventStore } from './event.store.ts';
import { eventSubject } from './event.subject.ts';

const kindSchema = eventSchema.shape.object.shape.kind;

const involvedSchema = z.string().transform((text, context) => {
  const [kind, name, ...rest] = text.split('/');
  const parsed = z.strictObject({ kind: kindSchema, name: nameSchema }).safeParse({ kind, name });
  if (parsed.success && rest.length === 0) return parsed.data;
  context.addIssue({
    code: 'custom',
    message: `"${text}" names no object; write <kind>/<name>, kind being ${kindSchema.options.join(', ')}`,
  });
  return z.NEVER;
});

const eventQuerySchema = z.strictObject({
  involved: involvedSchema
    .optional()
    .describe('Only of this object, e.g. Rollout/nightly or Device/edge-1'),
  kind: kindSchema.optional().describe('Only of objects of this kind'),
  name: nameSchema.optional().describe('Only of objects with this name'),
  since: instantSchema.optional().describe('Only from this time on, e.g. 2026-11-21T08:00:00Z'),
  fieldSelector: fieldSelectorSchema(EVENT_FIELDS),
  limit: z.coerce.number().int().min(1).max(500).optional().describe('At most so many, up to 500'),
  continue: z.string().max(1000).optional().describe('metadata.continue of the page before'),
  ...watchQuerySchema.shape,
});

@ApiTags('events')
@Controller('api/v1/events')
export class EventController {
  constructor(
    @Inject(EventStore) private readonly events: EventStore,
    @Inject(ChangeFeed) private readonly feed: ChangeFeed,
    @Inject(WatchStreams) private readonly streams: WatchStreams,
  ) {}

  @Get()
  @ApiOperation({ summary: 'List events, latest first' })
  @TakesQuery(eventQuerySchema)
  @WatchableList('Event')
  async list(
    @ZodQuery(eventQuerySchema) query: z.infer<typeof eventQuerySchema>,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Res({ passthrough: true }) response: HttpResponse,
  ): Promise<ListAnswer<FleetEvent> | StreamableFile> {
    const { involved, fieldSelector: fields, watch, ...asked } = query;
    const filter = { ...asked, ...involved, fields };
    if (watch === true) {
      const resourceVersion = lastEventId ?? query.resourceVersion;
      return this.streams.open(eventSubject(this.events, filter), { resourceVersion, response });
    }
    const resourceVersion = String(await this.feed.current());
    const page = await this.events.list(filter);
    return listAnswer(query.continue === undefined ? { ...page, resourceVersion } : page);
  }
}
