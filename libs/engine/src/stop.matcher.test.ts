import fc from 'fast-check';
import { expect, it } from 'vitest';
import { StopMatcher } from './stop.matcher.ts';

function run(stops: string[], pieces: string[]): { text: string; stopped: boolean } {
  const matcher = new StopMatcher(stops);
  let text = '';
  for (const piece of pieces) {
    const result = matcher.push(piece);
    text += result.text;
    if (result.stopped) return { text, stopped: true };
  }
  return { text: text + matcher.flush(), stopped: false };
}

it('cuts at the first stop string, however the text is cut in pieces', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 4 });
  fc.assert(
    fc.property(fc.array(letters), fc.array(letters), (pieces, stops) => {
      const whole = pieces.join('');
      const starts = stops.filter((s) => s !== '').map((stop) => whole.indexOf(stop));
      const found = starts.filter((at) => at >= 0);
      const { text, stopped } = run(stops, pieces);
      expect(stopped).toBe(found.length > 0);
      if (stops.length <= 1 || found.length === 0) {
        expect(text).toBe(found.length > 0 ? whole.slice(0, Math.min(...found)) : whole);
      }
      expect(whole.startsWith(text)).toBe(true);
    }),
  );
});

it('holds back only what may be a stop string', () => {
  const matcher = new StopMatcher(['\n\n']);
  expect(matcher.push('one\n')).toEqual({ text: 'one', stopped: false });
  expect(matcher.push('two')).toEqual({ text: '\ntwo', stopped: false });
});
