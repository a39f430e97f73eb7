import { describe, expect, it } from 'vitest';
import { LineTooLong, textLines } from './text.lines.ts';

async function linesOf(bytes: Buffer, chunkBytes: number, limitBytes = 1000): Promise<string[]> {
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      yield bytes.subarray(at, at + chunkBytes);
    }
  }
  const lines: string[] = [];
  for await (const line of textLines(chunks(), limitBytes)) lines.push(line);
  return lines;
}

describe('textLines', () => {
  const text = 'one\n\nzwölf 🌊\r\nthree\n';

  it.each([1, 2, 3, 5, 7, 100])('puts lines together from chunks of %i bytes', async (size) => {
    expect(await linesOf(Buffer.from(text), size)).toEqual(['one', 'zwölf 🌊\r', 'three']);
  });

  it('leaves out a last line that was cut off', async () => {
    expect(await linesOf(Buffer.from('{"a":1}\n{"a":'), 4)).toEqual(['{"a":1}']);
  });

  it('takes no endless line, and many short ones', async () => {
    await expect(linesOf(Buffer.alloc(1001, 'x'), 100)).rejects.toThrow(LineTooLong);
    expect(await linesOf(Buffer.from('x'.repeat(99).concat('\n').repeat(50)), 64)).toHaveLength(50);
  });
});
