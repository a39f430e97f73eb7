import type { Device, Member, Model, Rollout, VariantStatus } from '@entrofleet/protocol';
import { bytes, figure, textTable } from './text.table.ts';

/** What one device has shown about one variant. Null: it has not said so. */
export interface DeviceEvidence {
  readonly device: string;
  readonly wave: number | null;
  readonly state: string;
  readonly artifactId: string | null;
  readonly bytesReceived: number | null;
  readonly phaseSeconds: Readonly<Record<string, number>>;
  readonly decodeGigabytesPerSecond: number | null;
  readonly prefillTokensPerSecond: number | null;
  readonly decodeTokensPerSecond: number | null;
  readonly fingerprintDeviation: number | null;
  readonly peakRssBytes: number | null;
  readonly perplexity: number | null;
  readonly sample: string | null;
}

export interface RolloutEvidence {
  readonly variant: string;
  readonly artifactId: string | null;
  readonly generation: number;
  readonly devices: readonly DeviceEvidence[];
}

export interface VariantEvidence {
  readonly name: string;
  readonly sizeBytes: number;
  readonly bitsPerWeight: number;
  readonly entropyBitsPerWeight: number;
  readonly sqnrDb: number | null;
  readonly perplexity: number;
  readonly sourcePerplexity: number;
  readonly withinBound: boolean;
}

/** What DEMO_JSON gets. */
export interface DemoSummary {
  readonly ok: boolean;
  readonly error: { readonly reason: string; readonly message: string } | null;
  readonly model: string;
  readonly seconds: number;
  readonly slowestReadMs: number;
  readonly variants: readonly VariantEvidence[];
  readonly refusal: {
    readonly variant: string;
    readonly reason: string;
    readonly message: string;
  } | null;
  readonly rollouts: readonly RolloutEvidence[];
}

export function variantEvidence(variant: VariantStatus): VariantEvidence[] {
  const quality = variant.quality;
  if (quality === null) return [];
  return [
    {
      name: variant.name,
      sizeBytes: quality.sizeBytes,
      bitsPerWeight: quality.bitsPerWeight,
      entropyBitsPerWeight: quality.entropyBitsPerWeight,
      sqnrDb: quality.sqnrDb,
      perplexity: quality.perplexity,
      sourcePerplexity: quality.sourcePerplexity,
      withinBound: quality.withinBound,
    },
  ];
}

export function rolloutEvidence(state: {
  readonly model: Model;
  readonly rollout: Rollout;
  readonly members: readonly Member[];
  readonly devices: readonly Device[];
}): RolloutEvidence {
  const { model, rollout, members, devices } = state;
  const variant = model.status.variants.find((v) => v.name === rollout.spec.variant);
  return {
    variant: rollout.spec.variant ?? '',
    artifactId: variant?.artifactId ?? null,
    generation: rollout.metadata.generation,
    devices: members.map((member) => {
      const device = devices.find((d) => d.metadata.name === member.device);
      return deviceEvidence({ member, device, variant });
    }),
  };
}

function deviceEvidence(of: {
  readonly member: Member;
  readonly device: Device | undefined;
  readonly variant: VariantStatus | undefined;
}): DeviceEvidence {
  const report = of.device?.status.report ?? null;
  const measurement = report?.measurement ?? null;
  return {
    device: of.member.device,
    wave: of.member.wave,
    state: of.member.state,
    artifactId: report?.active?.artifactId ?? null,
    bytesReceived: report?.download?.bytesReceived ?? null,
    phaseSeconds: { ...report?.phaseSeconds },
    decodeGigabytesPerSecond: measurement?.entropyDecodeGigabytesPerSecond ?? null,
    prefillTokensPerSecond: measurement?.prefillTokensPerSecond ?? null,
    decodeTokensPerSecond: measurement?.decodeTokensPerSecond ?? null,
    fingerprintDeviation: measurement?.fingerprintDeviation ?? null,
    peakRssBytes: measurement?.peakRssBytes ?? null,
    perplexity: of.variant?.quality?.perplexity ?? null,
    sample: report?.sample?.text ?? null,
  };
}

export function variantTable(variants: readonly VariantEvidence[]): string {
  const header = ['variant', 'bytes', 'bits/weight', 'entropy', 'SQNR dB'];
  const quality = ['perplexity', 'source', 'verdict'];
  const rows = variants.map((v) => [
    v.name,
    bytes(v.sizeBytes),
    figure(v.bitsPerWeight, 3),
    figure(v.entropyBitsPerWeight, 3),
    figure(v.sqnrDb, 1),
    figure(v.perplexity, 3),
    figure(v.sourcePerplexity, 3),
    v.withinBound ? 'good' : `BAD: ${figure(v.perplexity / v.sourcePerplexity, 0)}x the source`,
  ]);
  return textTable([...header, ...quality], rows);
}

const SHOWN_PHASES = [
  ['Downloading', 'download s'],
  ['Verifying', 'verify s'],
  ['Decoding', 'decode s'],
  ['Testing', 'test s'],
  ['Activating', 'activate s'],
] as const;

export function deviceTable(rollout: RolloutEvidence): string {
  const header = ['device', 'wave', 'state', 'bytes received'];
  const speed = ['decode GB/s', 'prefill tok/s', 'decode tok/s', 'perplexity'];
  const rows = rollout.devices.map((d) => [
    d.device,
    d.wave === null ? '-' : String(d.wave + 1),
    d.state,
    bytes(d.bytesReceived),
    ...SHOWN_PHASES.map(([phase]) => figure(d.phaseSeconds[phase], 2)),
    figure(d.decodeGigabytesPerSecond, 2),
    figure(d.prefillTokensPerSecond, 0),
    figure(d.decodeTokensPerSecond, 0),
    figure(d.perplexity, 3),
  ]);
  return textTable([...header, ...SHOWN_PHASES.map(([, title]) => title), ...speed], rows);
}

/** Everything about `rollout` that is not as promised, in words; empty when all is well. */
export function shortcomings(
  rollout: RolloutEvidence,
  expectedDevices: readonly string[],
): string[] {
  const found = rollout.devices.map((d) => d.device);
  const absent = expectedDevices.filter((name) => !found.includes(name));
  const lacks = rollout.devices.flatMap((d) => {
    const wrong: string[] = [];
    if (d.state !== 'Active') wrong.push(`is ${d.state}`);
    if (d.artifactId === null || d.artifactId !== rollout.artifactId) {
      wrong.push(`serves ${d.artifactId ?? 'nothing'} instead of ${rollout.artifactId}`);
    }
    if (d.decodeTokensPerSecond === null) wrong.push('has not measured its throughput');
    if (d.sample === null || d.sample.trim() === '') wrong.push('has written nothing');
    return wrong.map((what) => `${d.device} ${what}`);
  });
  return [...absent.map((name) => `${name} is not part of the rollout`), ...lacks];
}
