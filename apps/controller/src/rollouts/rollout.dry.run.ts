import { randomUUID } from 'node:crypto';
import type { DryRun, Member, Rollout } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { BadRequest, NotFound } from '../errors.ts';
import { pageToken, readPageToken } from '../objects/page.token.ts';
import { dryRun } from './rollout.dry.run.plan.ts';
import { RolloutFactsReader } from './rollout.facts.reader.ts';
import { accept } from './rollout.plan.ts';
import type { RolloutInput } from './rollout.service.ts';
import { initialStatus } from './rollout.status.plan.ts';
import { RolloutStore } from './rollout.store.ts';

const PAGE_DEVICES = 500;

export interface DryRunPage {
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
}

/** Says what a rollout would do, and does nothing. */
@Injectable()
export class RolloutDryRun {
  constructor(
    @Inject(RolloutStore) private readonly rollouts: RolloutStore,
    @Inject(RolloutFactsReader) private readonly facts: RolloutFactsReader,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** @throws NotFound; BadRequest for a bad `continue` token. */
  async ofStored(name: string, page: DryRunPage): Promise<DryRun> {
    const record = await this.rollouts.findRecord(name);
    if (record === undefined) throw new NotFound({ kind: 'rollout', name });
    const members = record.placed.map(({ member }) => member);
    return this.run(record.rollout, members, page);
  }

  /** As if the rollout were applied, over the stored one of its name where there is one. */
  async ofInput(input: RolloutInput, page: DryRunPage): Promise<DryRun> {
    const { name, labels = {} } = input.metadata;
    const record = await this.rollouts.findRecord(name);
    const now = this.clock.instant();
    const metadata = record?.rollout.metadata ?? {
      ...{ name, labels, uid: randomUUID(), generation: 1, resourceVersion: '0' },
      creationTimestamp: now,
      owner: null,
    };
    const status = record?.rollout.status ?? initialStatus();
    const members = record?.placed.map(({ member }) => member) ?? [];
    return this.run({ metadata, spec: input.spec, status }, members, page);
  }

  private async run(
    rollout: Rollout,
    members: readonly Member[],
    page: DryRunPage,
  ): Promise<DryRun> {
    const read = await this.facts.read({ rollout, members });
    // Other work starts over at the first wave.
    const isSameWork = read.specDigest === rollout.status.specDigest;
    const plan = dryRun({
      rollout: { ...read, members: isSameWork ? members : [] },
      acceptance: accept(read),
      predict: read.predict,
    });
    const from = page.continue === undefined ? 0 : placeIn(page.continue, plan.items.length);
    const to = from + Math.min(page.limit ?? PAGE_DEVICES, PAGE_DEVICES);
    const metadata = to < plan.items.length ? { continue: pageToken(String(to)) } : {};
    return { ...plan, items: plan.items.slice(from, to), metadata };
  }
}

/** @throws BadRequest for a token that is none of ours. */
function placeIn(token: string, count: number): number {
  const place = Number(readPageToken(token));
  if (Number.isInteger(place) && place >= 0 && place <= count) return place;
  throw new BadRequest('the continue token is not valid; leave it out', 'BadContinue');
}
