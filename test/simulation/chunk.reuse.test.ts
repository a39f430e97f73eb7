import { join } from 'node:path';
import { encodeArtifact, openCheckpoint } from '@entrofleet/artifact';
import type { DeltaRef, Device, Target } from '@entrofleet/protocol';
import { beforeAll, describe, expect, it } from 'vitest';
import { ChunkReuse } from '../../apps/controller/src/rollouts/chunk.reuse.ts';
import { pairKey } from '../../apps/controller/src/rollouts/reuse.plan.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import {
  digest,
  exampleArtifact,
  exampleDevice,
  exampleReport,
} from '../support/fleet.examples.ts';

describe('ChunkReuse', () => {
  const paths = new Map<string, string>();
  let held: Target['artifact'];
  let wanted: Target['artifact'];

  beforeAll(async () => {
    const folder = await temporaryFolder('reuse');
    await writeTinyCheckpoint(join(folder, 'checkpoint'));
    const encode = async (bits: 8 | 4) => {
      const path = join(folder, `${bits}.efa`);
      const checkpoint = await openCheckpoint(join(folder, 'checkpoint'));
      const recipe = { kind: 'affine', bits } as const;
      const { ref } = await encodeArtifact({ checkpoint, recipe, path, threads: 1 });
      await checkpoint.close();
      paths.set(ref.id, path);
      return { ...ref, headerChunks: [...ref.headerChunks] };
    };
    held = await encode(8);
    wanted = await encode(4);
  });

  function running(artifactId: string): Device {
    const active = { model: 'stories', variant: 'u8', artifactId };
    return exampleDevice('d', { report: exampleReport('d', { phase: 'Active', active }) });
  }

  async function lacking(of: { device: Device; deltas?: readonly DeltaRef[] }) {
    const reuse = new ChunkReuse(
      { offers: async () => [...(of.deltas ?? [])] },
      { path: (id) => paths.get(id) ?? '/nowhere' },
      { debug: () => undefined },
    );
    const known = await reuse.lackingBytes([of.device], [target()]);
    return known.get(pairKey({ held: activeOf(of.device), wanted: wanted.id }));
  }

  function target(): Target {
    const sizes = { memoryBytes: 1, contextLength: 1, kvCacheBytes: 1 };
    const { probe } = exampleArtifact();
    const what = { model: 'stories', variant: 'u4', artifact: wanted, samplePrompt: null };
    return { ...what, ...sizes, probe };
  }

  function activeOf(device: Device): string {
    return device.status.report?.active?.artifactId ?? '';
  }

  function deltaTo(baseArtifactId: string, sizeBytes: number): DeltaRef {
    return { baseArtifactId, file: { ...wanted, id: digest('delta'), sizeBytes } };
  }

  it('leaves out chunks with the same hash', async () => {
    const one = await lacking({ device: running(held.id) });
    expect(one?.by).toBe('Chunks');
    // Norms and the tokenizer's files are the same; all weights differ.
    expect(one?.bytesToFetch).toBeLessThan(wanted.sizeBytes);
    expect(one?.bytesToFetch).toBeGreaterThan(wanted.headerSizeBytes);
  });

  it('takes a delta to what the device runs when it is smaller', async () => {
    const device = running(held.id);
    const small = await lacking({ device, deltas: [deltaTo(held.id, 1000)] });
    expect(small).toEqual({ bytesToFetch: 1000, by: 'Delta' });
    const large = await lacking({ device, deltas: [deltaTo(held.id, wanted.sizeBytes)] });
    expect(large?.by).toBe('Chunks');
    const other = await lacking({ device, deltas: [deltaTo(digest('other'), 1000)] });
    expect(other?.by).toBe('Chunks');
  });

  it('cannot tell of an artifact whose file is gone, but of a delta to it', async () => {
    const device = running(digest('gone'));
    expect(await lacking({ device })).toBeUndefined();
    const delta = await lacking({ device, deltas: [deltaTo(digest('gone'), 1000)] });
    expect(delta).toEqual({ bytesToFetch: 1000, by: 'Delta' });
  });
});
