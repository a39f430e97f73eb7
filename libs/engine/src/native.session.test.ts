import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type ModelTensors, native } from '@entrofleet/native';
import { describe, expect, it } from 'vitest';
import { randomTokens, tinyGeometry, tinyTensors } from '../test/reference.model.ts';

const geometry = tinyGeometry();
const tensors = tinyTensors(geometry, { format: 'u8' });
const createModel = (threads = 2) => native.createModel(geometry, tensors, { threads });
const tokens = Uint32Array.from(randomTokens(40, geometry.vocabularySize));
const code = (reason: string) => expect.objectContaining({ code: reason });

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
}

describe('sessions', () => {
  it('refuse bad input and stay as they were', async () => {
    const session = createModel().createSession(45);
    const before = await session.forward(tokens, 'last');
    await expect(session.forward(tokens, 'last')).rejects.toEqual(code('ContextExceeded'));
    await expect(session.score(new Uint32Array(46))).rejects.toEqual(code('ContextExceeded'));
    await expect(session.forward(Uint32Array.of(101), 'last')).rejects.toEqual(code('BadToken'));
    await expect(session.forward(new Uint32Array(), 'last')).rejects.toEqual(code('BadArgument'));
    await expect(session.forward(tokens, 'some' as 'last')).rejects.toEqual(code('BadArgument'));
    expect(session.length).toBe(40);
    expect(() => session.truncate(41)).toThrow(code('BadArgument'));
    session.truncate(39);
    expect(await session.forward(tokens.subarray(39), 'last')).toEqual(before);
  });

  it('run their calls in order', async () => {
    const model = createModel();
    const session = model.createSession(40);
    const calls = Array.from(tokens, (token) => session.forward(Uint32Array.of(token), 'last'));
    expect(() => session.truncate(0)).toThrow(code('SessionBusy'));
    const answers = await Promise.all(calls);
    const whole = await model.createSession(40).forward(tokens, 'last');
    expect(answers.at(-1)).toEqual(whole);
    await expect(session.forward(Uint32Array.of(1), 'last')).rejects.toEqual(
      code('ContextExceeded'),
    );
  });

  it('leave their calls when they are told to, and go on', async () => {
    const session = createModel().createSession(80);
    const running = session.forward(tokens, 'last').catch((error: unknown) => error);
    const waiting = session.score(tokens);
    session.cancel();
    await expect(waiting).rejects.toEqual(code('Cancelled'));
    await running;
    session.truncate(0);
    const again = await session.forward(tokens, 'last');
    expect(again).toEqual(await createModel().createSession(40).forward(tokens, 'last'));
  });

  it('of another model, twice, or full are refused by step()', async () => {
    const model = createModel();
    const session = model.createSession(1);
    const stranger = createModel().createSession(1);
    const two = Uint32Array.of(1, 2);
    await expect(model.step([session, stranger], two)).rejects.toEqual(code('BadArgument'));
    await expect(model.step([session, session], two)).rejects.toEqual(code('BadArgument'));
    await expect(model.step([session], two)).rejects.toEqual(code('BadArgument'));
    await model.step([session], Uint32Array.of(1));
    await expect(model.step([session], Uint32Array.of(1))).rejects.toEqual(code('ContextExceeded'));
  });

  it('are closed by themselves or with their model, after the running call', async () => {
    const model = createModel();
    const session = model.createSession(40);
    const running = session.forward(tokens, 'last');
    session.close();
    expect((await running).length).toBe(geometry.vocabularySize);
    await expect(session.forward(tokens, 'last')).rejects.toEqual(code('SessionClosed'));

    const other = model.createSession(40);
    const first = other.forward(tokens.subarray(0, 20), 'last');
    const waiting = other.forward(tokens.subarray(20), 'last');
    model.close();
    await expect(waiting).rejects.toEqual(code('ModelClosed'));
    expect((await first).length).toBe(geometry.vocabularySize);
    await expect(other.score(tokens)).rejects.toEqual(code('ModelClosed'));
    expect(() => model.createSession(1)).toThrow(code('ModelClosed'));
  });

  it('cannot be longer than the context', () => {
    const model = createModel();
    expect(() => model.createSession(161)).toThrow(code('ContextExceeded'));
    expect(() => model.createSession(0)).toThrow(code('ContextExceeded'));
    expect(() => model.createSession(1.5)).toThrow(code('ContextExceeded'));
  });

  it('survive garbage collection of everything around a running call', async () => {
    const expected = await createModel().createSession(40).forward(tokens, 'last');
    const start = () => {
      const own = tinyTensors(geometry, { format: 'u8' });
      const model = native.createModel(geometry, own, { threads: 2 });
      return model.createSession(40).forward(tokens, 'last');
    };
    for (let round = 0; round < 20; round++) {
      const calls = [start(), start()];
      collectGarbage();
      await nextTurn();
      collectGarbage();
      for (const answer of await Promise.all(calls)) expect(answer).toEqual(expected);
    }
  });
});

describe('createModel', () => {
  const [firstLayer] = tensors.layers;
  if (firstLayer === undefined) throw new Error('the model has no layers');
  const withQuery = (query: unknown): ModelTensors => ({
    ...tensors,
    layers: [
      { ...firstLayer, query: query as typeof firstLayer.query },
      ...tensors.layers.slice(1),
    ],
  });
  const good = firstLayer.query.format === 'u8' ? firstLayer.query : undefined;

  it.each([
    ['absent', undefined],
    ['of another shape', { ...good, rows: 10, columns: 10, symbols: new Uint8Array(100) }],
    ['short of symbols', { ...good, symbols: new Uint8Array(5) }],
    ['short of steps', { ...good, steps: new Float32Array(2) }],
    ['of an unknown format', { ...good, format: 'q9' }],
    ['of the wrong array type', { ...good, symbols: new Float32Array(60 * 54) }],
  ])('names a tensor that is %s', (_, query) => {
    const create = () => native.createModel(geometry, withQuery(query), { threads: 1 });
    expect(create).toThrow(
      expect.objectContaining({
        code: 'BadShape',
        message: expect.stringMatching(/layers\[0\]\.query/),
      }),
    );
  });

  it.each([
    ['layers', { layers: 3, slidingWindows: new Uint32Array(3) }, 'BadShape'],
    ['slidingWindows', { slidingWindows: new Uint32Array(1) }, 'BadArgument'],
    ['heads', { heads: 5 }, 'BadArgument'],
    ['hiddenSize', { hiddenSize: -1 }, 'BadArgument'],
    ['vocabularySize', { vocabularySize: 2 ** 40 }, 'BadArgument'],
    ['headSize', { headSize: Number.NaN }, 'BadArgument'],
    ['rotaryFrequencies', { rotaryFrequencies: new Float64Array(6) }, 'BadArgument'],
    ['rotary', { rotaryFrequencies: Float64Array.of(Number.NaN) }, 'BadArgument'],
  ])('refuses bad geometry: %s', (_, change, reason) => {
    const create = () => native.createModel({ ...geometry, ...change }, tensors, { threads: 1 });
    expect(create).toThrow(code(reason));
  });

  it('refuses bad thread counts', () => {
    for (const threads of [0, 257, 1.5]) {
      expect(() => createModel(threads)).toThrow(code('BadArgument'));
    }
  });
});
