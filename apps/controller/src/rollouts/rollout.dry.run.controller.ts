import { type DryRun, rolloutInputSchema } from '@entrofleet/protocol';
import { Controller, HttpCode, Inject, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { componentRef } from '../http/openapi.components.ts';
import { TakesBody, TakesQuery, ZodBody, ZodQuery } from '../http/zod.pipe.ts';
import { type DryRunPage, RolloutDryRun } from './rollout.dry.run.ts';
import type { RolloutInput } from './rollout.service.ts';

const ANSWER = { status: 200, description: 'What it would do', schema: componentRef('DryRun') };
const pageSchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).optional().describe('Devices in a page'),
  continue: z.string().max(1000).optional().describe('metadata.continue of the page before'),
});

@ApiTags('rollouts')
@Controller('api/v1/rollouts')
export class RolloutDryRunController {
  constructor(@Inject(RolloutDryRun) private readonly dryRun: RolloutDryRun) {}

  @Post('plan')
  @HttpCode(200)
  @ApiOperation({ summary: 'Say what a rollout would do with each device; nothing is stored' })
  @TakesBody('RolloutInput')
  @TakesQuery(pageSchema)
  @ApiResponse(ANSWER)
  ofInput(
    @ZodBody(rolloutInputSchema) input: RolloutInput,
    @ZodQuery(pageSchema) page: DryRunPage,
  ): Promise<DryRun> {
    return this.dryRun.ofInput(input, page);
  }

  @Post(':name/plan')
  @HttpCode(200)
  @ApiOperation({ summary: 'Say what this rollout would do from now on' })
  @TakesQuery(pageSchema)
  @ApiResponse(ANSWER)
  ofStored(@Param('name') name: string, @ZodQuery(pageSchema) page: DryRunPage): Promise<DryRun> {
    return this.dryRun.ofStored(name, page);
  }
}
