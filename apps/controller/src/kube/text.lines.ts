import { StringDecoder } from 'node:string_decoder';

/** A line is longer than anyone may make it. */
export class LineTooLong extends Error {
  constructor(limitBytes: number) {
    super(`a line of more than ${limitBytes} bytes`);
    this.name = 'LineTooLong';
  }
}

/**
 * The lines of a stream of bytes in UTF-8, wherever it is cut into chunks. Empty lines are left
 * out, and so is a last line that does not end: it was cut off.
 * @throws LineTooLong
 */
export async function* textLines(
  chunks: AsyncIterable<Buffer>,
  limitBytes: number,
): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let pieces: string[] = [];
  let sizeBytes = 0;
  for await (const chunk of chunks) {
    const [first = '', ...others] = decoder.write(chunk).split('\n');
    pieces.push(first);
    sizeBytes += chunk.length;
    for (const start of others) {
      const line = pieces.join('');
      pieces = [start];
      sizeBytes = Buffer.byteLength(start);
      if (line.trim() !== '') yield line;
    }
    if (sizeBytes > limitBytes) throw new LineTooLong(limitBytes);
  }
}
