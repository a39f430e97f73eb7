import { describe, expect, it } from 'vitest';
import { chooseAdmitted, choosePreempted, type MemberView, planRound } from './batch.plan.ts';

const RULES = { blockTokens: 256, stallSeconds: 0.1, tokensPerSecond: 400 };
let order = 0;
const member = (change: Partial<MemberView>): MemberView => ({
  lacking: 1,
  paused: false,
  prefilledInRound: -1,
  order: order++,
  ...change,
});

describe('a round', () => {
  it('steps all who lack one token, but not those whose reader is behind', () => {
    const [one, two, behind] = [member({}), member({}), member({ paused: true })];
    const members = [one, two, behind].filter((m) => m !== undefined);
    expect(planRound(members, RULES)).toEqual({ prefill: null, step: [one, two] });
  });

  it('reads prompts by turns, the first come first', () => {
    const first = member({ lacking: 500, prefilledInRound: 7 });
    const second = member({ lacking: 500, prefilledInRound: 6 });
    expect(planRound([first, second], RULES).prefill?.member).toBe(second);
    const third = member({ lacking: 500, prefilledInRound: 6 });
    expect(planRound([third, second], RULES).prefill?.member).toBe(second);
  });

  it.each([
    ['as much as fits one call when nobody waits', 500, false, 400, 256],
    ['what is left', 100, false, 400, 100],
    ['what others can wait for', 500, true, 400, 40],
    ['never more than one call takes', 500, true, 1e6, 256],
    ['little while the speed is not known', 500, true, null, 16],
    ['no less than pays', 500, true, 10, 16],
  ])('reads %s', (_, lacking, others, tokensPerSecond, tokens) => {
    const reading = member({ lacking });
    const members = others ? [reading, member({})] : [reading];
    expect(planRound(members, { ...RULES, tokensPerSecond }).prefill?.tokens).toBe(tokens);
  });
});

it('who starts is the first of the group with the fewest running', () => {
  const waiting = [
    { group: 'many', order: 3 },
    { group: 'one', order: 9 },
    { group: 'many', order: 2 },
    { group: 'other', order: 8 },
  ];
  const running = (...groups: string[]) => groups.map((group) => ({ group }));
  expect(chooseAdmitted(waiting, [])?.order).toBe(2);
  expect(chooseAdmitted(waiting, running('many'))?.order).toBe(8);
  expect(chooseAdmitted(waiting, running('many', 'other'))?.order).toBe(9);
  expect(chooseAdmitted(waiting, running('one', 'many', 'other'))?.order).toBe(2);
  expect(chooseAdmitted([], running('one'))).toBeNull();
});

it('the one that came last gives its memory up', () => {
  const members = [member({ order: 3 }), member({ order: 9 }), member({ order: 5 })];
  expect(choosePreempted(members)).toBe(members[1]);
  expect(choosePreempted([])).toBeNull();
});
