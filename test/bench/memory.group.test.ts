import { expect, it } from 'vitest';
import { groupPlace } from './memory.group.ts';

it('a group of version 1 stands in the own one of the memory controller', () => {
  const text = '9:name=systemd:/\n4:memory:/outer/inner\n0::/\n';
  expect(groupPlace(text)).toEqual({
    folder: 'memory/outer/inner',
    limitFiles: ['memory.limit_in_bytes'],
  });
  expect(groupPlace('3:cpu,memory:/a\n')?.folder).toBe('memory/a');
});

it('a group of version 2 stands beside the own one', () => {
  expect(groupPlace('0::/user.slice/session-1.scope\n')).toEqual({
    folder: '/user.slice',
    limitFiles: ['memory.max', 'memory.swap.max'],
  });
});

it('without control groups there is none', () => {
  expect(groupPlace('')).toBeUndefined();
});
