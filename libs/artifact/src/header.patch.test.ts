import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ArtifactError } from './artifact.error.ts';
import { applyPatch, writePatch } from './header.patch.ts';

const bytesOf = (text: string) => Buffer.from(text);

/** Pieces of a few kinds, so that two texts share long runs in another order. */
const textArbitrary = fc
  .array(fc.constantFrom('{"name":"model.layers.', '"sizeBytes":262144},', 'abc', '0'.repeat(64)), {
    maxLength: 40,
  })
  .map((parts) => bytesOf(parts.join('')));

it('gives the target back from any base', () => {
  fc.assert(
    fc.property(textArbitrary, textArbitrary, (base, target) => {
      const patch = writePatch(base, target);
      const again = applyPatch(base, { patch, sizeBytes: target.length });
      expect(Buffer.from(again)).toEqual(target);
    }),
  );
});

it('costs what is new, wherever in a long header that is', () => {
  const entries = Array.from({ length: 2000 }, (_, i) => `{"name":"tensor.${i}","sha":"${i * i}"}`);
  const base = bytesOf(entries.join(','));
  const changed = entries.map((entry, i) => (i === 1234 ? '{"name":"tensor.1234"}' : entry));
  const patch = writePatch(base, bytesOf(changed.join(',')));
  expect(patch.length).toBeLessThan(64);
});

it('refuses every patch that is not whole', () => {
  const base = bytesOf('{"name":"model.layers.0"}'.repeat(20));
  const target = bytesOf(`${'{"name":"model.layers.0"}'.repeat(10)}new${'x'.repeat(40)}`);
  const patch = writePatch(base, target);
  for (let length = 0; length < patch.length; length++) {
    const cut = { patch: patch.subarray(0, length), sizeBytes: target.length };
    expect(() => applyPatch(base, cut)).toThrow(ArtifactError);
  }
  const longer = { patch: Buffer.concat([patch, Uint8Array.of(0)]), sizeBytes: target.length };
  expect(() => applyPatch(base, longer)).toThrow('goes on after');
  expect(() => applyPatch(base, { patch, sizeBytes: target.length - 1 })).toThrow(ArtifactError);
});

it('takes any bytes to the end or refuses them', () => {
  const base = bytesOf('0123456789'.repeat(10));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(200), (patch, sizeBytes) => {
      try {
        expect(applyPatch(base, { patch, sizeBytes })).toHaveLength(sizeBytes);
      } catch (error) {
        expect(error).toMatchObject({ reason: 'BadDelta' });
      }
    }),
  );
});
