import { expect, it } from 'vitest';
import { LinkMeter } from './link.meter.ts';

const KIB = 1024;

function prepare() {
  let nowMs = 0;
  const meter = new LinkMeter(() => nowMs);
  const arrive = (afterMs: number, bytes: number) => {
    nowMs += afterMs;
    meter.arrived(bytes);
  };
  return { meter, arrive };
}

it('tells how fast chunks come, whatever they wait for in between', () => {
  const { meter, arrive } = prepare();
  for (let burst = 0; burst < 3; burst++) {
    arrive(burst === 0 ? 0 : 3_600_000, 64 * KIB);
    for (let i = 0; i < 10; i++) arrive(100, 64 * KIB);
  }
  expect(meter.bytesPerSecond).toBe(640 * KIB);
});

it('tells nothing from too little', () => {
  const { meter, arrive } = prepare();
  expect(meter.bytesPerSecond).toBeNull();
  arrive(0, 500 * KIB);
  expect(meter.bytesPerSecond).toBeNull();
  arrive(10, 64 * KIB);
  expect(meter.bytesPerSecond).toBeNull();
});
