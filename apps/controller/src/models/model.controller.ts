import { type Model, modelInputSchema } from '@entrofleet/protocol';
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
import { type DeleteQuery, deleteQuerySchema, objectListQuery } from '../http/list.query.ts';
import { componentRef } from '../http/openapi.components.ts';
import { WatchableList } from '../http/watchable.list.ts';
import { TakesBody, TakesQuery, ZodBody, ZodQuery } from '../http/zod.pipe.ts';
import type { ListAnswer } from '../objects/list.answer.ts';
import { assertNamed } from '../objects/object.input.ts';
import { ObjectLists } from '../objects/object.lists.ts';
import { MODEL_FIELDS } from './model.fields.ts';
import { type ModelInput, ModelService } from './model.service.ts';
import { ModelStore } from './model.store.ts';

const listQuery = objectListQuery(MODEL_FIELDS);

@ApiTags('models')
@Controller('api/v1/models')
export class ModelController {
  constructor(
    @Inject(ModelService) private readonly service: ModelService,
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(ObjectLists) private readonly lists: ObjectLists,
  ) {}

  @Post()
  @HttpCode(202)
  @ApiOperation({ summary: 'Create a model; its variants are compressed in the background' })
  @TakesBody('ModelInput')
  @ApiResponse({ status: 202, description: 'Accepted', schema: componentRef('Model') })
  create(@ZodBody(modelInputSchema) input: ModelInput): Promise<Model> {
    return this.service.create(input);
  }

  @Get()
  @ApiOperation({ summary: 'List models in the order of names' })
  @TakesQuery(listQuery)
  @WatchableList('Model')
  list(
    @ZodQuery(listQuery) query: z.infer<typeof listQuery>,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Res({ passthrough: true }) response: HttpResponse,
  ): Promise<ListAnswer<Model> | StreamableFile> {
    return this.lists.answer(this.models, query, { lastEventId, response });
  }

  @Get(':name')
  @ApiOperation({ summary: 'Read a model' })
  @ApiResponse({ status: 200, description: 'The model', schema: componentRef('Model') })
  read(@Param('name') name: string): Promise<Model> {
    return this.models.get(name);
  }

  @Put(':name')
  @ApiOperation({ summary: 'Create a model or change it to this; repeating it changes nothing' })
  @TakesBody('ModelInput')
  @ApiResponse({ status: 200, description: 'Updated', schema: componentRef('Model') })
  @ApiResponse({ status: 202, description: 'Created', schema: componentRef('Model') })
  async apply(
    @Param('name') name: string,
    @ZodBody(modelInputSchema) input: ModelInput,
    @Res({ passthrough: true }) response: HttpResponse,
  ): Promise<Model> {
    assertNamed(input, name);
    const { model, created } = await this.service.apply(input);
    response.status(created ? 202 : 200);
    return model;
  }

  @Delete(':name')
  @HttpCode(204)
  @ApiOperation({ summary: 'Delete a model and the artifacts that no device needs' })
  @TakesQuery(deleteQuerySchema)
  @ApiResponse({ status: 204, description: 'Deleted' })
  remove(
    @Param('name') name: string,
    @ZodQuery(deleteQuerySchema) query: DeleteQuery,
  ): Promise<void> {
    return this.service.remove(name, query.resourceVersion);
  }

  @Post(':name/retry')
  @HttpCode(202)
  @ApiOperation({ summary: 'Compress failed variants again' })
  @ApiResponse({ status: 202, description: 'Accepted', schema: componentRef('Model') })
  retry(@Param('name') name: string): Promise<Model> {
    return this.service.retry(name);
  }
}
