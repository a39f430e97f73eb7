import { eventSchema, type FleetEvent, nameSchema } from '@entrofleet/protocol';
import { Controller, Get, Inject } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { componentRef } from '../http/openapi.components.ts';
import { TakesQuery, ZodQuery } from '../http/zod.pipe.ts';
import { type ListAnswer, listAnswer } from '../objects/list.answer.ts';
import { EventStore } from './event.store.ts';

const eventQuerySchema = z.strictObject({
  kind: eventSchema.shape.object.shape.kind.optional().describe('Only of objects of this kind'),
  name: nameSchema.optional().describe('Only of objects with this name'),
  limit: z.coerce.number().int().min(1).max(500).optional().describe('At most so many, up to 500'),
});

@ApiTags('events')
@Controller('api/v1/events')
export class EventController {
  constructor(@Inject(EventStore) private readonly events: EventStore) {}

  @Get()
  @ApiOperation({ summary: 'List events, latest first' })
  @TakesQuery(eventQuerySchema)
  @ApiResponse({ status: 200, description: 'Events', schema: componentRef('EventList') })
  async list(
    @ZodQuery(eventQuerySchema) query: z.infer<typeof eventQuerySchema>,
  ): Promise<ListAnswer<FleetEvent>> {
    return listAnswer({ items: await this.events.list(query) });
  }
}
