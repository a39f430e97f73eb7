import {
  approveInputSchema,
  type Revision,
  type Rollout,
  rollbackInputSchema,
} from '@entrofleet/protocol';
import { Controller, Get, HttpCode, Inject, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { componentRef } from '../http/openapi.components.ts';
import { TakesOptionalBody, ZodBody } from '../http/zod.pipe.ts';
import { type ListAnswer, listAnswer } from '../objects/list.answer.ts';
import { RevisionStore } from './revision.store.ts';
import { RolloutService } from './rollout.service.ts';
import { RolloutStore } from './rollout.store.ts';

const ACCEPTED = { status: 202, description: 'Accepted', schema: componentRef('Rollout') };

const optionalApproval = approveInputSchema.prefault({});
const optionalRollback = rollbackInputSchema.prefault({});

/** What can be done with a rollout, each a sub-resource. */
@ApiTags('rollouts')
@Controller('api/v1/rollouts/:name')
export class RolloutActionController {
  constructor(
    @Inject(RolloutService) private readonly service: RolloutService,
    @Inject(RolloutStore) private readonly rollouts: RolloutStore,
    @Inject(RevisionStore) private readonly revisions: RevisionStore,
  ) {}

  @Post('pause')
  @HttpCode(202)
  @ApiOperation({ summary: 'Start no more devices; those that are started go on' })
  @ApiResponse(ACCEPTED)
  pause(@Param('name') name: string): Promise<Rollout> {
    return this.service.pause(name);
  }

  @Post('resume')
  @HttpCode(202)
  @ApiOperation({ summary: 'Go on, and leave those that have failed behind' })
  @ApiResponse(ACCEPTED)
  resume(@Param('name') name: string): Promise<Rollout> {
    return this.service.resume(name);
  }

  @Post('retry')
  @HttpCode(202)
  @ApiOperation({ summary: 'Start those that have failed again, or one given up from the first' })
  @ApiResponse(ACCEPTED)
  retry(@Param('name') name: string): Promise<Rollout> {
    return this.service.retry(name);
  }

  @Post('approve')
  @HttpCode(202)
  @ApiOperation({ summary: 'Let the wave open that waits for approval' })
  @TakesOptionalBody('ApproveInput')
  @ApiResponse(ACCEPTED)
  approve(
    @Param('name') name: string,
    @ZodBody(optionalApproval) input: z.infer<typeof approveInputSchema>,
  ): Promise<Rollout> {
    return this.service.approve(name, input.wave);
  }

  @Post('abort')
  @HttpCode(202)
  @ApiOperation({ summary: 'Give the revision up: stop what downloads, start nothing more' })
  @ApiResponse(ACCEPTED)
  abort(@Param('name') name: string): Promise<Rollout> {
    return this.service.abort(name);
  }

  @Post('rollback')
  @HttpCode(202)
  @ApiOperation({ summary: 'Set the spec back to an earlier revision, and roll that out' })
  @TakesOptionalBody('RollbackInput')
  @ApiResponse(ACCEPTED)
  rollback(
    @Param('name') name: string,
    @ZodBody(optionalRollback) input: z.infer<typeof rollbackInputSchema>,
  ): Promise<Rollout> {
    return this.service.rollBack(name, input.revision);
  }

  @Get('revisions')
  @ApiOperation({ summary: 'List what the rollout was asked to do so far, latest first' })
  @ApiResponse({ status: 200, description: 'All of them', schema: componentRef('RevisionList') })
  async history(@Param('name') name: string): Promise<ListAnswer<Revision>> {
    await this.rollouts.get(name);
    return listAnswer({ items: await this.revisions.list(name) });
  }
}
