import { type Device, devicePatchSchema } from '@entrofleet/protocol';
import {
  Controller,
  Delete,
  Get,
  Headers,
  HttpCode,
  Inject,
  Param,
  Patch,
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
import { ObjectLists } from '../objects/object.lists.ts';
import { DEVICE_FIELDS } from './device.fields.ts';
import { type DevicePatch, DeviceService } from './device.service.ts';
import { DeviceStore } from './device.store.ts';

const listQuery = objectListQuery(DEVICE_FIELDS);

@ApiTags('devices')
@Controller('api/v1/devices')
export class DeviceController {
  constructor(
    @Inject(DeviceService) private readonly service: DeviceService,
    @Inject(DeviceStore) private readonly devices: DeviceStore,
    @Inject(ObjectLists) private readonly lists: ObjectLists,
  ) {}

  @Get()
  @ApiOperation({ summary: 'List devices in the order of names; they register themselves' })
  @TakesQuery(listQuery)
  @WatchableList('Device')
  list(
    @ZodQuery(listQuery) query: z.infer<typeof listQuery>,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Res({ passthrough: true }) response: HttpResponse,
  ): Promise<ListAnswer<Device> | StreamableFile> {
    return this.lists.answer(this.devices, query, { lastEventId, response });
  }

  @Get(':name')
  @ApiOperation({ summary: 'Read a device: what was asked of it, and what it last said' })
  @ApiResponse({ status: 200, description: 'The device', schema: componentRef('Device') })
  read(@Param('name') name: string): Promise<Device> {
    return this.devices.get(name);
  }

  @Patch(':name')
  @ApiOperation({ summary: "Replace the operator's labels, pin, quarantine; what is absent stays" })
  @TakesBody('DevicePatch')
  @ApiResponse({ status: 200, description: 'Updated', schema: componentRef('Device') })
  patch(
    @Param('name') name: string,
    @ZodBody(devicePatchSchema) patch: DevicePatch,
  ): Promise<Device> {
    return this.service.patch(name, patch);
  }

  @Delete(':name')
  @HttpCode(204)
  @ApiOperation({ summary: 'Forget a device; one that still runs registers again' })
  @TakesQuery(deleteQuerySchema)
  @ApiResponse({ status: 204, description: 'Deleted' })
  remove(
    @Param('name') name: string,
    @ZodQuery(deleteQuerySchema) query: DeleteQuery,
  ): Promise<void> {
    return this.service.remove(name, query.resourceVersion);
  }
}
