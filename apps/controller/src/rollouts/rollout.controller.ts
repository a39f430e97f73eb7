import {
  type Member,
  memberStateSchema,
  type Rollout,
  rolloutInputSchema,
} from '@entrofleet/protocol';
import {
  Controller,
  Delete,
  Get,
  Headers,
  HttpCode,
  Inject,
  Param,
  Post,
  Put,
  Res,
  type StreamableFile,
} from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { HttpResponse } from '../http/http.types.ts';
import {
  type DeleteQuery,
  deleteQuerySchema,
  objectListQuery,
  pageQuerySchema,
} from '../http/list.query.ts';
import { componentRef } from '../http/openapi.components.ts';
import { WatchableList } from '../http/watchable.list.ts';
import { TakesBody, TakesQuery, ZodBody, ZodQuery } from '../http/zod.pipe.ts';
import { type ListAnswer, listAnswer } from '../objects/list.answer.ts';
import { assertNamed } from '../objects/object.input.ts';
import { ObjectLists } from '../objects/object.lists.ts';
import { ROLLOUT_FIELDS } from './rollout.fields.ts';
import { type RolloutInput, RolloutService } from './rollout.service.ts';
import { type MemberQuery, RolloutStore } from './rollout.store.ts';

const memberQuerySchema = pageQuerySchema.extend({
  state: memberStateSchema.optional().describe('Only those in this state'),
});

const ACCEPTED = { status: 202, description: 'Accepted', schema: componentRef('Rollout') };

const listQuery = objectListQuery(ROLLOUT_FIELDS);

@ApiTags('rollouts')
@Controller('api/v1/rollouts')
export class RolloutController {
  constructor(
    @Inject(RolloutService) private readonly service: RolloutService,
    @Inject(RolloutStore) private readonly rollouts: RolloutStore,
    @Inject(ObjectLists) private readonly lists: ObjectLists,
  ) {}

  @Post()
  @HttpCode(202)
  @ApiOperation({ summary: 'Create a rollout; its status says how it goes' })
  @TakesBody('RolloutInput')
  @ApiResponse(ACCEPTED)
  create(@ZodBody(rolloutInputSchema) input: RolloutInput): Promise<Rollout> {
    return this.service.create(input);
  }

  @Get()
  @ApiOperation({ summary: 'List rollouts in the order of names' })
  @TakesQuery(listQuery)
  @WatchableList('Rollout')
  list(
    @ZodQuery(listQuery) query: z.infer<typeof listQuery>,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Res({ passthrough: true }) response: HttpResponse,
  ): Promise<ListAnswer<Rollout> | StreamableFile> {
    return this.lists.answer(this.rollouts, query, { lastEventId, response });
  }

  @Get(':name')
  @ApiOperation({ summary: 'Read a rollout: phase, counts, conditions' })
  @ApiResponse({ status: 200, description: 'The rollout', schema: componentRef('Rollout') })
  read(@Param('name') name: string): Promise<Rollout> {
    return this.rollouts.get(name);
  }

  @Get(':name/members')
  @ApiOperation({ summary: 'List where each device stands, in the order in which they go' })
  @TakesQuery(memberQuerySchema)
  @ApiResponse({ status: 200, description: 'A page', schema: componentRef('MemberList') })
  async members(
    @Param('name') name: string,
    @ZodQuery(memberQuerySchema) query: MemberQuery,
  ): Promise<ListAnswer<Member>> {
    return listAnswer(await this.rollouts.members(name, query));
  }

  @Put(':name')
  @ApiOperation({ summary: 'Create a rollout or change it to this; repeating it changes nothing' })
  @TakesBody('RolloutInput')
  @ApiResponse({ status: 200, description: 'Updated', schema: componentRef('Rollout') })
  @ApiResponse({ status: 202, description: 'Created', schema: componentRef('Rollout') })
  async apply(
    @Param('name') name: string,
    @ZodBody(rolloutInputSchema) input: RolloutInput,
    @Res({ passthrough: true }) response: HttpResponse,
  ): Promise<Rollout> {
    assertNamed(input, name);
    const { rollout, created } = await this.service.apply(input);
    response.status(created ? 202 : 200);
    return rollout;
  }

  @Delete(':name')
  @HttpCode(204)
  @ApiOperation({ summary: 'Delete a rollout; devices keep what they run' })
  @TakesQuery(deleteQuerySchema)
  @ApiResponse({ status: 204, description: 'Deleted' })
  remove(
    @Param('name') name: string,
    @ZodQuery(deleteQuerySchema) query: DeleteQuery,
  ): Promise<void> {
    return this.service.remove(name, query.resourceVersion);
  }
}
