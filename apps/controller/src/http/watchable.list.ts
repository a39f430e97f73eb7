import { applyDecorators } from '@nestjs/common';
import { ApiResponse } from '@nestjs/swagger';
import { componentRef } from './openapi.components.ts';

/** Describes the answers of a list that can be watched. */
export function WatchableList(kind: 'Model' | 'Rollout' | 'Device' | 'Event'): MethodDecorator {
  return applyDecorators(
    ApiResponse({
      status: 200,
      description: 'A page; with watch=true server-sent events, each with a WatchEvent as its data',
      content: {
        'application/json': { schema: componentRef(`${kind}List`) },
        'text/event-stream': { schema: componentRef(`${kind}WatchEvent`) },
      },
    }),
    ApiResponse({
      status: 410,
      description: 'Only with watch=true: the resourceVersion is too old',
      content: { 'application/problem+json': { schema: componentRef('Problem') } },
    }),
  );
}
