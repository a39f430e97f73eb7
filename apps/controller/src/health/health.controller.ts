import { Controller, Get, HttpCode, Inject, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { HttpResponse } from '../http/http.types.ts';
import { componentRef } from '../http/openapi.components.ts';
import { type Readiness, ReadinessChecks } from './readiness.ts';

@ApiTags('health')
@Controller()
export class HealthController {
  constructor(@Inject(ReadinessChecks) private readonly checks: ReadinessChecks) {}

  @Get('healthz')
  @HttpCode(204)
  @ApiOperation({ summary: 'The process is alive' })
  alive(): void {}

  @Get('readyz')
  @ApiOperation({ summary: 'What the roles of this process need answers' })
  @ApiOkResponse({ schema: componentRef('Readiness') })
  @ApiResponse({ status: 503, description: 'Not ready', schema: componentRef('Readiness') })
  async ready(@Res({ passthrough: true }) response: HttpResponse): Promise<Readiness> {
    const readiness = await this.checks.run();
    response.status(readiness.ready ? 200 : 503);
    return readiness;
  }
}
