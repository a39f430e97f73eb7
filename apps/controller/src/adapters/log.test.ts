import { describe, expect, it } from 'vitest';
import { Log } from './log.ts';

describe('Log', () => {
  it('writes one JSON line and leaves out what is less severe', () => {
    const lines: string[] = [];
    const log = new Log('info', (line) => lines.push(line));
    log.debug('hidden');
    log.warn('two\nlines', { n: 1, absent: undefined });
    expect(lines).toHaveLength(1);
    expect(lines[0]?.endsWith('}\n')).toBe(true);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'warn',
      message: 'two\nlines',
      n: 1,
    });
  });

  it('hides passwords in URLs', () => {
    const lines: string[] = [];
    const log = new Log('info', (line) => lines.push(line));
    log.error('cannot reach redis://user:pa$$@host:1', { url: 'postgres://:hunter2@db/x' });
    expect(lines.join()).not.toMatch(/pa\$\$|hunter2/);
    expect(lines.join()).toContain('redis://user:***@host:1');
  });
});
