import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../../ip/address.ts';
import { heard } from '../../testing/heard.ts';
import { autoPriorities } from '../priority.ts';
import { VirtualRouter } from '../virtual-router.ts';
import { Performer } from './performer.ts';

const SELF = parseIp('10.0.0.2')!;
const OTHER = parseIp('10.0.0.3')!;

/** A performer on a stage: what it asks for is noted down, and answered by hand. */
class Stage {
  readonly core = new VirtualRouter({
    version: 3,
    priorities: autoPriorities(1, 3),
    advertisementIntervalMs: 100,
    preempt: 'unhealthy',
    preemptDelayMs: 0,
    isAlone: false,
  });
  nowMs = 0;
  /** What has arrived and waits to be read: priorities of another Active. */
  queue: number[] = [];
  timers: { readonly atMs: number; readonly onTime: () => void }[] = [];
  failures: ((text: string) => void)[] = [];
  renewalFailures: ((text: string) => void)[] = [];
  overdue: ((text: string) => void)[] = [];
  answers: (() => void)[] = [];
  bound: (() => void)[] = [];
  announcements = 0;
  announcedAsBackup = 0;
  isOverdueAtOnce = false;
  sent: number[] = [];
  releases: { readonly isOver: () => boolean; readonly onEnd: () => void }[] = [];
  readonly performer = new Performer({
    core: this.core,
    clock: {
      nowMs: () => this.nowMs,
      startTimer: (delayMs, onTime) => {
        const timer = { atMs: this.nowMs + delayMs, onTime };
        this.timers.push(timer);
        return () => {
          this.timers = this.timers.filter((other) => other !== timer);
        };
      },
    },
    sockets: {
      sendAdvertisement: (priority) => this.sent.push(priority),
      announce: () => {
        this.announcements += 1;
        if (this.core.stateName !== 'Active') this.announcedAsBackup += 1;
      },
      readQueued: () => {
        for (const priority of this.queue.splice(0)) this.hear(priority);
      },
      discardQueued: () => {},
    },
    lease: {
      take: (purpose, listener) => {
        if (this.isOverdueAtOnce) listener.overdue('no answer');
        this.overdue.push((text) => listener.overdue(text));
        this.answers.push(() => listener.answered());
        if (purpose === 'bind') this.bound.push(() => listener.done());
        (purpose === 'bind' ? this.failures : this.renewalFailures).push((text) => listener.failed(text));
      },
      release: (_, isOver, onEnd) => this.releases.push({ isOver, onEnd }),
    },
    observer: { transition: () => {}, notice: () => {}, stepped: () => {}, released: () => {} },
  });

  constructor() {
    this.performer.give({ type: 'linkUp', primary: SELF });
    this.performer.give({ type: 'startup' });
    this.performer.give({ type: 'health', class: 'A', confirmedAtMs: 0 });
  }

  hear(priority: number): void {
    this.performer.give(heard(priority, OTHER));
  }

  /** Time passes until the timer, and `lateMs` more. */
  fire(lateMs = 0): void {
    const timer = this.timers.shift()!;
    this.nowMs = timer.atMs + lateMs;
    timer.onTime();
  }

  fireUntilActive(): void {
    for (let timers = 0; this.core.stateName !== 'Active'; timers += 1) {
      assert.ok(timers < 10, 'not Active after ten timers');
      this.fire();
    }
  }
}

test('one timer is set, in whole milliseconds, and moved only toward an earlier deadline', () => {
  const stage = new Stage();
  const [first] = stage.timers;
  assert.ok(Number.isInteger(first!.atMs) && first!.atMs >= stage.core.deadlineMs);
  stage.nowMs = 150;
  stage.hear(254);
  assert.deepEqual(stage.timers, [first]);
  stage.hear(0);
  assert.equal(stage.timers.length, 1);
  assert.ok(stage.timers[0]!.atMs < first!.atMs);
});

test('a Backup that is late reads what has arrived before it believes in silence', () => {
  const stage = new Stage();
  stage.queue.push(254);
  stage.fire(1000);
  assert.equal(stage.core.stateName, 'Backup');
  assert.equal(stage.core.heardActive?.priority, 254);
});

test('a bind that fails is told to the core in its own term only', () => {
  const stage = new Stage();
  stage.fireUntilActive();
  stage.hear(254);
  stage.failures[0]!('too late');
  assert.equal(stage.core.stateName, 'Backup');
  stage.fireUntilActive();
  stage.failures[0]!('too late');
  assert.equal(stage.core.stateName, 'Active');
  stage.failures.at(-1)!('refused');
  assert.equal(stage.core.stateName, 'Backup');
});

test('a renewal that fails is told to the core as such', () => {
  const stage = new Stage();
  stage.fireUntilActive();
  while (stage.renewalFailures.length === 0) stage.fire();
  stage.renewalFailures[0]!('refused');
  assert.equal(stage.core.stateName, 'Active');
});

test('an overdue lease ends its term, and this node stays out of elections until the kernel has answered', () => {
  const stage = new Stage();
  stage.fireUntilActive();
  stage.overdue.at(-1)!('no answer');
  assert.equal(stage.core.stateName, 'Backup');
  for (let timers = 0; timers < 10; timers += 1) stage.fire();
  assert.equal(stage.core.stateName, 'Backup');
  stage.answers.at(-1)!();
  stage.fireUntilActive();
});

test('an overdue lease of an earlier term changes nothing', () => {
  const stage = new Stage();
  stage.fireUntilActive();
  stage.hear(254);
  stage.fireUntilActive();
  stage.overdue[0]!('no answer');
  assert.equal(stage.core.stateName, 'Active');
});

test('a release that ends after the next promotion leaves the address to the new term', () => {
  const stage = new Stage();
  stage.fireUntilActive();
  stage.hear(254);
  const [release] = stage.releases;
  assert.equal(release!.isOver(), true);
  assert.deepEqual([stage.performer.leased, stage.performer.releasing], [false, true]);
  stage.fireUntilActive();
  assert.equal(release!.isOver(), false);
  release!.onEnd();
  assert.deepEqual([stage.performer.leased, stage.performer.releasing], [true, false]);
});

test('a renewal that turns out to be overdue ends the term after the actions of the event, with no announcement', () => {
  const stage = new Stage();
  stage.fireUntilActive();
  stage.bound[0]!();
  stage.isOverdueAtOnce = true;
  // So late that a renewal and an announcement are due in one turn.
  while (stage.core.stateName === 'Active') stage.fire(60);
  assert.equal(stage.announcedAsBackup, 0);
  assert.equal(stage.sent.at(-1), 0);
});

test('closed, it sets off no timer any more', () => {
  const stage = new Stage();
  stage.performer.close();
  assert.deepEqual(stage.timers, []);
});

test('announces once the kernel has bound the address, and not a term that is over', () => {
  const stage = new Stage();
  stage.fireUntilActive();
  for (let timers = 0; timers < 5; timers += 1) stage.fire();
  assert.equal(stage.announcements, 0);
  stage.bound[0]!();
  assert.equal(stage.announcements, 1);
  stage.fire();
  stage.hear(254);
  stage.fireUntilActive();
  const { announcements } = stage;
  stage.bound[0]!();
  assert.equal(stage.announcements, announcements);
  stage.bound[1]!();
  assert.equal(stage.announcements, announcements + 1);
});

test('a successor advertises again when the address is bound', () => {
  const stage = new Stage();
  stage.hear(254);
  stage.hear(0);
  stage.fireUntilActive();
  assert.deepEqual(stage.sent, [212]);
  stage.bound[0]!();
  assert.deepEqual(stage.sent, [212, 212]);
});
