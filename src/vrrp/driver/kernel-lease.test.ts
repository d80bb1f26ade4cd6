import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../../ip/address.ts';
import { createRouterCounters } from './counters.ts';
import { BIND_PATIENCE_MS, KernelLease, type LeaseAnswer } from './kernel-lease.ts';
import type { LeaseListener } from './performer.ts';

const VIP = parseIp('10.0.0.100')!;
const QUICK: LeaseAnswer = { refusal: null, durationMs: 0.1, waitedForCpuMs: 0, removed: true };
const refusing = (refusal: string): LeaseAnswer => ({ ...QUICK, refusal });

/** A lease on a kernel that answers when the test has it answer. */
class Stage {
  nowMs = 0;
  isPresent = true;
  readonly asked: string[] = [];
  readonly said: string[] = [];
  readonly happened: string[] = [];
  readonly counters = createRouterCounters();
  #answers: ((answer: LeaseAnswer) => void)[] = [];
  readonly lease = new KernelLease({
    vip: VIP,
    calls: {
      leaseAddress: ({ validSeconds }, onAnswer) => this.#ask(`lease ${validSeconds} s`, onAnswer),
      removeAddress: (_index, _address, onAnswer) => this.#ask('remove', onAnswer),
    },
    isPresent: () => this.isPresent,
    counters: this.counters,
    log: (level, text) => this.said.push(`${level}: ${text}`),
    closeVip: (_, onEnd) => {
      this.asked.push('clients finished');
      onEnd();
    },
    link: () => ({ index: 2, name: 'eth0' }),
    clock: { nowMs: () => this.nowMs, startTimer: () => () => undefined },
  });
  readonly listener: LeaseListener = {
    done: () => undefined,
    failed: (text) => this.happened.push(`failed: ${text}`),
    overdue: (text) => this.happened.push(`overdue: ${text}`),
    answered: () => this.happened.push('answered'),
  };

  take(purpose: 'bind' | 'renew', atMs: number): void {
    this.nowMs = atMs;
    this.lease.take(purpose, this.listener);
  }

  /** The kernel answers the oldest call. */
  answer(answer: LeaseAnswer = QUICK): void {
    this.#answers.shift()!(answer);
  }

  #ask(what: string, onAnswer: (answer: LeaseAnswer) => void): void {
    this.asked.push(what);
    this.#answers.push(onAnswer);
  }
}

test('while the kernel has not answered, a renewal is left out', () => {
  const stage = new Stage();
  stage.take('bind', 0);
  stage.answer();
  for (const atMs of [250, 500, 750]) stage.take('renew', atMs);
  assert.deepEqual(stage.asked, ['lease 1 s', 'lease 1 s']);
  stage.answer();
  stage.take('renew', 1000);
  assert.equal(stage.asked.length, 3);
});

test('with the address still there, a renewal that is overdue by seconds is a line and nothing else', () => {
  const stage = new Stage();
  stage.take('bind', 0);
  stage.answer();
  for (let atMs = 250; atMs <= 3250; atMs += 250) stage.take('renew', atMs);
  assert.deepEqual(stage.happened, []);
  assert.deepEqual(stage.said, [
    'warn: no answer for 250 ms to the request to renew 10.0.0.100 on eth0; the address is still there',
  ]);
});

test('an address that is gone while its renewal is overdue ends the term, once; the answer is reported', () => {
  const stage = new Stage();
  stage.take('bind', 0);
  stage.answer();
  stage.take('renew', 250);
  stage.isPresent = false;
  stage.take('renew', 900);
  assert.deepEqual(stage.happened, []);
  stage.take('renew', 1250);
  stage.take('renew', 1500);
  const text =
    'no answer for 1000 ms to the request to renew 10.0.0.100 on eth0, and the address is not there';
  assert.deepEqual(stage.happened, [`overdue: ${text}`]);
  stage.answer();
  assert.deepEqual(stage.happened, [`overdue: ${text}`, 'answered']);
});

test('a bind that is not answered in time is left to another node', () => {
  const stage = new Stage();
  stage.isPresent = false;
  stage.take('bind', 0);
  stage.take('renew', BIND_PATIENCE_MS - 1);
  assert.deepEqual(stage.happened, []);
  stage.take('renew', BIND_PATIENCE_MS);
  assert.match(stage.happened[0] ?? '', /^overdue: no answer for 500 ms to the request to bind/);
  assert.deepEqual(stage.said, [
    'warn: no answer for 499 ms to the request to bind 10.0.0.100 on eth0; the address is not there',
  ]);
});

test('a bind that waits for the answer of an earlier call learns that this is overdue', () => {
  const stage = new Stage();
  stage.take('bind', 0);
  stage.answer();
  stage.take('renew', 250);
  stage.isPresent = false;
  const heard: string[] = [];
  const ignore = (): void => undefined;
  stage.nowMs = 1100;
  stage.lease.take('bind', {
    done: ignore,
    failed: ignore,
    overdue: (text) => heard.push(text),
    answered: ignore,
  });
  stage.take('renew', 1350);
  assert.match(heard[0] ?? '', /^no answer for 1100 ms to the request to renew/);
  assert.deepEqual(stage.happened, []);
});

test('a bind follows the answer of the call before', () => {
  const stage = new Stage();
  stage.take('bind', 0);
  stage.take('bind', 10);
  assert.deepEqual(stage.asked, ['lease 1 s']);
  stage.answer();
  assert.deepEqual(stage.asked, ['lease 1 s', 'lease 1 s']);
});

test('a refusal is reported with its reason, and counted', () => {
  const stage = new Stage();
  stage.take('bind', 0);
  stage.answer(refusing('no such device'));
  assert.deepEqual(stage.happened, ['failed: cannot bind 10.0.0.100 on eth0: no such device']);
  assert.equal(stage.counters.leaseFailures, 1);
});

test('a slow call is said by its cause: a lock of the kernel, or a busy node', () => {
  const stage = new Stage();
  stage.take('bind', 0);
  stage.answer({ ...QUICK, durationMs: 2800, waitedForCpuMs: 3 });
  const busy = new Stage();
  busy.take('bind', 0);
  busy.answer({ ...QUICK, durationMs: 900, waitedForCpuMs: 800 });
  assert.match(
    stage.said[0] ?? '',
    /took 2800 ms to bind 10\.0\.0\.100 on eth0: another program held .*rtnl/,
  );
  assert.match(busy.said[0] ?? '', /no processor was free for 800 ms of that/);
  assert.equal(stage.counters.leaseDurations.bind.maxMs, 2800);
});

/** What a release asks for, and logs; the kernel answers the first call with `first`. */
function release(handedOver: boolean, first: LeaseAnswer = QUICK): string[] {
  const stage = new Stage();
  let hasEnded = false;
  stage.lease.release(
    handedOver,
    () => true,
    () => {
      hasEnded = true;
    },
  );
  stage.answer(first);
  if (handedOver) stage.answer();
  assert.ok(hasEnded);
  return [...stage.asked, ...stage.said];
}

test('an address that is handed over is kept for its clients, who are finished before it goes', () => {
  assert.deepEqual(release(true), ['lease 2 s', 'clients finished', 'remove']);
});

test('one that is lost to another node gets no longer life', () => {
  assert.deepEqual(release(false), ['clients finished', 'remove']);
});

test('when it cannot be kept, clients have what is left of its life', () => {
  assert.deepEqual(release(true, refusing('no buffer space')), [
    'lease 2 s',
    'clients finished',
    'remove',
    'warn: cannot keep 10.0.0.100 on eth0 for the requests that are in progress: no buffer space',
  ]);
});

/**
 * The description of a removal at the last of `atMs`, when the address was bound at the first and renewed at the
 * others.
 */
function removalAfter(...atMs: readonly number[]): string {
  const stage = new Stage();
  for (const [index, time] of atMs.slice(0, -1).entries()) {
    stage.take(index === 0 ? 'bind' : 'renew', time);
    stage.answer();
  }
  stage.nowMs = atMs.at(-1) ?? 0;
  return stage.lease.describeRemoval('eth0');
}

test('an address that goes while it is renewed in time was removed by another program', () => {
  const removed = '10.0.0.100 was removed from eth0 by another program';
  assert.equal(removalAfter(5000, 5100), removed);
  assert.equal(removalAfter(5000, 5250, 5500, 6499), removed);
});

test('one that was not renewed in time ran out, whether or not it was renewed before that was reported', () => {
  const ranOut = (ms: number): string => `10.0.0.100 ran out on eth0: it was not renewed for ${ms} ms`;
  assert.equal(removalAfter(5000, 5250, 7000), ranOut(1750));
  assert.equal(removalAfter(5000, 5250, 7000, 7010), ranOut(1750));
  assert.equal(
    removalAfter(5000, 5250, 7000, 7250, 8100),
    '10.0.0.100 was removed from eth0 by another program',
  );
});
