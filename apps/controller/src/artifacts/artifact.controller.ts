import { type Artifact, nameSchema } from '@entrofleet/protocol';
import { Controller, Get, Inject, Param, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { BlobStore } from '../adapters/blobs.ts';
import { NotFound } from '../errors.ts';
import type { HttpResponse } from '../http/http.types.ts';
import { componentRef } from '../http/openapi.components.ts';
import { TakesQuery, ZodQuery } from '../http/zod.pipe.ts';
import { type ListAnswer, listAnswer } from '../objects/list.answer.ts';
import { ArtifactStore } from './artifact.store.ts';

const artifactQuerySchema = z.strictObject({
  model: nameSchema.optional().describe('Only artifacts of this model'),
  limit: z.coerce.number().int().min(1).max(500).optional().describe('Items in a page, up to 500'),
  continue: z.string().max(2000).optional().describe('metadata.continue of the page before'),
});

@ApiTags('artifacts')
@Controller('api/v1/artifacts')
export class ArtifactController {
  constructor(
    @Inject(ArtifactStore) private readonly artifacts: ArtifactStore,
    @Inject(BlobStore) private readonly blobs: BlobStore,
  ) {}

  @Get()
  @ApiOperation({ summary: 'List artifacts, one for each model and variant' })
  @TakesQuery(artifactQuerySchema)
  @ApiResponse({ status: 200, description: 'A page', schema: componentRef('ArtifactList') })
  async list(
    @ZodQuery(artifactQuerySchema) query: z.infer<typeof artifactQuerySchema>,
  ): Promise<ListAnswer<Artifact>> {
    return listAnswer(await this.artifacts.list(query));
  }

  @Get(':id')
  @ApiOperation({ summary: 'Read what is known of an artifact' })
  @ApiResponse({ status: 200, description: 'The artifact', schema: componentRef('Artifact') })
  async read(@Param('id') id: string): Promise<Artifact> {
    const artifact = await this.artifacts.findById(id);
    if (artifact === undefined) throw new NotFound({ kind: 'artifact', name: id });
    return artifact;
  }

  @Get(':id/content')
  @ApiOperation({ summary: 'Download the artifact file; ranges are supported' })
  @ApiResponse({
    status: 200,
    description: 'The file',
    content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
  })
  async content(@Param('id') id: string, @Res() response: HttpResponse): Promise<void> {
    await this.read(id);
    if ((await this.blobs.sizeBytes(id)) === undefined) {
      throw new NotFound({ kind: 'file of artifact', name: id });
    }
    response.type('application/octet-stream').set({
      ETag: `"${id}"`,
      'Cache-Control': 'public, max-age=31536000, immutable',
      'Content-Disposition': `attachment; filename="${this.blobs.fileName(id)}"`,
    });
    await new Promise<void>((resolve, reject) => {
      const options = { root: this.blobs.folder, dotfiles: 'allow', cacheControl: false } as const;
      response.sendFile(this.blobs.fileName(id), options, (error) => {
        // A client that goes away in the middle is its own business.
        if (error === undefined || response.headersSent) resolve();
        else reject(error);
      });
    });
  }
}
