import { expect, test } from 'vitest';
import { parseTokenRows } from './token.file.ts';

const limits = { path: 'ids.json', vocabularySize: 8 };

test.each([
  [[1, 2], { isList: false, rows: [[1, 2]] }],
  [[[1, 2], [3]], { isList: true, rows: [[1, 2], [3]] }],
  [{ input_ids: [7] }, { isList: false, rows: [[7]] }],
  [
    { input_ids: [[7]], argmax: [] },
    { isList: true, rows: [[7]] },
  ],
])('%j is read', (json, rows) => {
  expect(parseTokenRows(json, limits)).toEqual(rows);
});

test.each([[null], [[]], [{}], [[[1], []]], [[8]], [[-1]], [[1.5]], [['1']], [[[1], 2]]])(
  '%j is refused, naming the file',
  (json) => {
    expect(() => parseTokenRows(json, limits)).toThrow(/^ids\.json holds/);
  },
);
