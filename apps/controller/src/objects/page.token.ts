import { z } from 'zod';
import { BadRequest } from '../errors.ts';

const tokenSchema = z.strictObject({ after: z.string().min(1).max(1000) });

/** A continuation token: opaque to clients, the last key they have seen to us. */
export function pageToken(after: string): string {
  return Buffer.from(JSON.stringify({ after })).toString('base64url');
}

/** @throws BadRequest `BadContinue` for a token that is none of ours. */
export function readPageToken(token: string): string {
  try {
    return tokenSchema.parse(JSON.parse(Buffer.from(token, 'base64url').toString())).after;
  } catch {
    throw new BadRequest(
      'the continue token is not valid; leave it out to start from the first page',
      'BadContinue',
    );
  }
}
