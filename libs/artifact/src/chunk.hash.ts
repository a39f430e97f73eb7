import { hash } from 'node:crypto';

/** SHA-256 in lower-case hexadecimal, on the calling thread: about 0.2 ms for 256 KiB. */
export function sha256Now(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

/** SHA-256 in lower-case hexadecimal, on libuv's thread pool. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
}
