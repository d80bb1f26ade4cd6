import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseIp } from '../../ip/address.ts';
import { LEASE_SECONDS } from '../../vrrp/lease.ts';
import { HostClock } from './clock.ts';
import { EXPIRY_LATENESS_MS, Kernel } from './kernel.ts';
import { type Frame, Link, type LinkQuality, type Packet } from './link.ts';
import { Random } from './random.ts';
import { Schedule } from './schedule.ts';

const GOOD: LinkQuality = {
  delayMs: 1,
  jitterMs: 5,
  lossRate: 0,
  duplicateRate: 0,
  reorderRate: 0,
  heldBackMs: 50,
  flipRate: 0,
};
const SOURCE = parseIp('10.0.0.1')!;

describe('Schedule', () => {
  test('runs tasks by time, and those of one instant in the order in which they were asked for', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 200 }), (times) => {
        const schedule = new Schedule();
        const ran: [number, number][] = [];
        for (const [index, timeMs] of times.entries()) {
          schedule.at(timeMs, { run: () => ran.push([schedule.nowMs, index]) });
        }
        schedule.runUntil(10);
        const early = ran.length;
        assert.equal(early, times.filter((timeMs) => timeMs <= 10).length);
        schedule.runUntil(100);
        const expected = times.map((timeMs, index): [number, number] => [timeMs, index]);
        assert.deepEqual(
          ran,
          expected.toSorted((a, b) => a[0] - b[0] || a[1] - b[1]),
        );
        assert.equal(schedule.nowMs, 100);
      }),
    );
  });

  test('what is asked for while it runs is run too, and never in the past', () => {
    const schedule = new Schedule();
    const ran: number[] = [];
    schedule.at(5, { run: () => schedule.at(1, { run: () => ran.push(schedule.nowMs) }) });
    schedule.runUntil(5);
    assert.deepEqual(ran, [5]);
  });
});

describe('Random', () => {
  test('the same seed and stream give the same numbers; others give others', () => {
    const draw = (random: Random): number[] => Array.from({ length: 50 }, () => random.unit());
    assert.deepEqual(draw(new Random(7, 1)), draw(new Random(7, 1)));
    assert.notDeepEqual(draw(new Random(7, 1)), draw(new Random(7, 2)));
    assert.notDeepEqual(draw(new Random(7, 1)), draw(new Random(8, 1)));
  });

  test('is spread evenly', () => {
    const random = new Random(1);
    const buckets = Array.from({ length: 10 }, () => 0);
    for (let draws = 0; draws < 100_000; draws += 1) buckets[random.integer(0, 9)]! += 1;
    for (const count of buckets) assert.ok(Math.abs(count - 10_000) < 500, buckets.join(' '));
  });
});

describe('Kernel', () => {
  test('an address that nobody renews is gone after its lifetime, a little late, by the clock of the host', () => {
    const schedule = new Schedule();
    const clock = new HostClock(schedule, 1e9, 0.001);
    const removed: string[] = [];
    const kernel = new Kernel({
      schedule,
      clock,
      random: new Random(1),
      onAdded: () => {},
      onRemoved: (by) => removed.push(by),
    });
    assert.ok(kernel.lease(LEASE_SECONDS));
    schedule.runUntil(900);
    assert.ok(kernel.lease(LEASE_SECONDS));
    const renewedMs = clock.nowMs;
    while (kernel.bound) schedule.runUntil(schedule.nowMs + 1);
    const heldMs = clock.nowMs - renewedMs;
    assert.ok(
      heldMs >= LEASE_SECONDS * 1000 && heldMs <= LEASE_SECONDS * 1000 + EXPIRY_LATENESS_MS + 2,
      `${heldMs}`,
    );
    assert.deepEqual(removed, ['expiry']);
  });

  test('a kernel that refuses leaves things as they are', () => {
    const schedule = new Schedule();
    const kernel = new Kernel({
      schedule,
      clock: new HostClock(schedule, 0, 0),
      random: new Random(1),
      onAdded: () => {},
      onRemoved: () => {},
    });
    kernel.refuses = true;
    assert.equal(kernel.lease(LEASE_SECONDS), false);
    assert.equal(kernel.bound, false);
  });
});

describe('Link', () => {
  class End {
    carrier = true;
    readonly frames: Frame[] = [];

    receive(frame: Frame): void {
      this.frames.push(frame);
    }
  }

  const packetOf = (octet: number): Packet => ({
    kind: 'vrrp',
    message: Uint8Array.of(octet, 0, 0, 0),
    family: 'IPv4',
    source: SOURCE,
    destination: SOURCE,
    ttl: 255,
  });
  const firstOctet = (frame: Frame): number => (frame.kind === 'vrrp' ? frame.message[0]! : -1);

  function stage(quality: Partial<LinkQuality>): { schedule: Schedule; link: Link; ends: End[] } {
    const schedule = new Schedule();
    const link = new Link(schedule, new Random(3), { ...GOOD, ...quality });
    const ends = [new End(), new End(), new End()];
    link.connect(ends);
    return { schedule, link, ends };
  }

  function sendMany(link: Link, schedule: Schedule): void {
    for (let octet = 0; octet < 200; octet += 1) {
      link.send(0, null, packetOf(octet));
      schedule.runUntil(schedule.nowMs + 1);
    }
    schedule.runUntil(1e6);
  }

  test('everybody else gets every packet, in order, after the delay', () => {
    const { schedule, link, ends } = stage({});
    sendMany(link, schedule);
    const octets = Array.from({ length: 200 }, (_, octet) => octet);
    assert.deepEqual(ends[1]!.frames.map(firstOctet), octets);
    assert.deepEqual(ends[2]!.frames.map(firstOctet), octets);
    assert.deepEqual(ends[0]!.frames, []);
  });

  test('loses, duplicates, reorders and damages, if told to', () => {
    const count = (quality: Partial<LinkQuality>): Frame[] => {
      const { schedule, link, ends } = stage(quality);
      sendMany(link, schedule);
      return ends[1]!.frames;
    };
    const lost = count({ lossRate: 0.5 }).length;
    assert.ok(lost > 60 && lost < 140, `${lost}`);
    assert.ok(count({ duplicateRate: 0.5 }).length > 260);
    const reordered = count({ reorderRate: 0.2 }).map(firstOctet);
    assert.notDeepEqual(
      reordered,
      reordered.toSorted((a, b) => a - b),
    );
    const damaged = count({ flipRate: 0.5 }).filter(
      (frame, index) =>
        frame.kind === 'vrrp' && frame.message.some((octet, at) => octet !== (at === 0 ? index : 0)),
    );
    assert.ok(damaged.length > 60 && damaged.length < 140, `${damaged.length}`);
  });

  test('a block is one-way, and a cut end neither sends nor receives, not even what is under way', () => {
    const { schedule, link, ends } = stage({ jitterMs: 0 });
    link.block(0, 1, 1);
    link.send(0, null, packetOf(1));
    link.send(1, 0, packetOf(2));
    schedule.runUntil(10);
    assert.deepEqual(
      ends.map(({ frames }) => frames.map(firstOctet)),
      [[2], [], [1]],
    );
    link.block(0, 1, -1);
    link.send(0, 1, packetOf(3));
    ends[1]!.carrier = false;
    link.send(0, 1, packetOf(4));
    link.send(1, 0, packetOf(5));
    schedule.runUntil(20);
    assert.deepEqual(
      ends.map(({ frames }) => frames.map(firstOctet)),
      [[2], [], [1]],
    );
  });
});
