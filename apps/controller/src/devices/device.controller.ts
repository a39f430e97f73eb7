import { type Device, devicePatchSchema } from '@entrofleet/protocol';
import { Controller, Delete, Get, HttpCode, Inject, Param, Patch } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import {
  type DeleteQuery,
  deleteQuerySchema,
  type ListQuery,
  listQuerySchema,
} from '../http/list.query.ts';
import { componentRef } from '../http/openapi.components.ts';
import { TakesBody, TakesQuery, ZodBody, ZodQuery } from '../http/zod.pipe.ts';
import { type ListAnswer, listAnswer } from '../objects/list.answer.ts';
import { type DevicePatch, DeviceService } from './device.service.ts';
import { DeviceStore } from './device.store.ts';

@ApiTags('devices')
@Controller('api/v1/devices')
export class DeviceController {
  constructor(
    @Inject(DeviceService) private readonly service: DeviceService,
    @Inject(DeviceStore) private readonly devices: DeviceStore,
  ) {}

  @Get()
  @ApiOperation({ summary: 'List devices in the order of names; they register themselves' })
  @TakesQuery(listQuerySchema)
  @ApiResponse({ status: 200, description: 'A page', schema: componentRef('DeviceList') })
  async list(@ZodQuery(listQuerySchema) query: ListQuery): Promise<ListAnswer<Device>> {
    const { labelSelector: selector, ...page } = query;
    return listAnswer(await this.devices.list({ ...page, selector }));
  }

  @Get(':name')
  @ApiOperation({ summary: 'Read a device: what was asked of it, and what it last said' })
  @ApiResponse({ status: 200, description: 'The device', schema: componentRef('Device') })
  read(@Param('name') name: string): Promise<Device> {
    return this.devices.get(name);
  }

  @Patch(':name')
  @ApiOperation({ summary: "Replace the operator's labels, which win over the device's own" })
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
