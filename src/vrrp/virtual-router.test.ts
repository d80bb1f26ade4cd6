import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type IpAddress, parseIp } from '../ip/address.ts';
import { heard } from '../testing/heard.ts';
import { ANNOUNCEMENT_OFFSETS_MS } from './announcements.ts';
import type { Action, RouterEvent, VirtualRouterOptions } from './events.ts';
import { activeDownIntervalMs, skewTimeMs } from './intervals.ts';
import { HOLD_OFF_MS, LEASE_RENEWAL_MS } from './lease.ts';
import type { HealthClass } from '../node/health-class.ts';
import { autoPriorities } from './priority.ts';
import { VirtualRouter } from './virtual-router.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);
const SELF = ip('10.0.0.2');
const LOWER = ip('10.0.0.1');
const HIGHER = ip('10.0.0.3');

/** The second of three nodes: priorities 212, 106, 53, 21. */
const OPTIONS: VirtualRouterOptions = {
  version: 3,
  priorities: autoPriorities(1, 3),
  advertisementIntervalMs: 100,
  preempt: 'unhealthy',
  preemptDelayMs: 0,
  isAlone: false,
};
const OWN_DOWN_MS = activeDownIntervalMs(3, 212, 100);

/** A router on a stage: time moves only by hand, every tick that falls due is delivered. */
class Stage {
  readonly router: VirtualRouter;
  nowMs = 1_000;

  constructor(options: Partial<VirtualRouterOptions> = {}) {
    this.router = new VirtualRouter({ ...OPTIONS, ...options });
  }

  static backup(options: Partial<VirtualRouterOptions> = {}): Stage {
    const stage = new Stage(options);
    stage.give({ type: 'linkUp', primary: SELF });
    stage.give({ type: 'startup' });
    stage.give({ type: 'health', class: 'A', confirmedAtMs: stage.nowMs });
    return stage;
  }

  static active(options: Partial<VirtualRouterOptions> = {}): Stage {
    const stage = Stage.backup(options);
    stage.advance(stage.router.deadlineMs - stage.nowMs);
    assert.equal(stage.router.stateName, 'Active');
    return stage;
  }

  give(event: RouterEvent): Action[] {
    return this.router.step(event, this.nowMs);
  }

  hear(priority: number, source = LOWER, advertisementIntervalMs = 100): Action[] {
    return this.give(heard(priority, source, advertisementIntervalMs));
  }

  advance(durationMs: number): Action[] {
    const endMs = this.nowMs + durationMs;
    const actions: Action[] = [];
    while (this.router.deadlineMs <= endMs) {
      this.nowMs = Math.max(this.nowMs, this.router.deadlineMs);
      actions.push(...this.give({ type: 'tick' }));
    }
    this.nowMs = endMs;
    return actions;
  }
}

const types = (actions: readonly Action[]): string[] => actions.map((action) => action.type);
const sent = (actions: readonly Action[]): number[] =>
  actions.flatMap((action) => (action.type === 'send' ? [action.priority] : []));
const causes = (actions: readonly Action[]): string[] =>
  actions.flatMap((action) =>
    action.type === 'transition' ? [`${action.from} -> ${action.to}: ${action.cause.text}`] : [],
  );

describe('RFC 9568 6.4.1 Initialize', () => {
  test('Startup of a non-owner goes to Backup and waits one Active_Down_Interval', () => {
    const stage = new Stage();
    stage.give({ type: 'linkUp', primary: SELF });
    const actions = stage.give({ type: 'startup' });
    assert.deepEqual(causes(actions), ['Initialize -> Backup: started']);
    assert.equal(stage.router.deadlineMs, stage.nowMs + activeDownIntervalMs(3, 21, 100));
  });

  test('without a working interface nothing starts, and nothing is due', () => {
    const stage = new Stage();
    assert.deepEqual(stage.give({ type: 'startup' }), []);
    assert.equal(stage.router.deadlineMs, Infinity);
    assert.deepEqual(causes(stage.give({ type: 'linkUp', primary: SELF })), [
      'Initialize -> Backup: the interface is up',
    ]);
  });

  test('packets and ticks in Initialize do nothing', () => {
    const stage = new Stage();
    assert.deepEqual(stage.hear(254), []);
    assert.deepEqual(stage.give({ type: 'tick' }), []);
    assert.equal(stage.router.stateName, 'Initialize');
  });
});

describe('RFC 9568 6.4.2 Backup', () => {
  test('Shutdown goes to Initialize without a packet', () => {
    const actions = Stage.backup().give({ type: 'shutdown', handover: true, text: 'SIGTERM' });
    assert.deepEqual(types(actions), ['transition']);
  });

  test('Active_Down_Timer fires: send, bind, announce, in this order', () => {
    const stage = Stage.backup();
    stage.hear(254);
    const actions = stage.advance(OWN_DOWN_MS);
    assert.deepEqual(types(actions), ['send', 'bind', 'announce', 'transition']);
    assert.deepEqual(sent(actions), [212]);
    assert.deepEqual(causes(actions), ['Backup -> Active: no advertisement from 10.0.0.1 for 317 ms']);
    const [silent] = actions.flatMap((action) => (action.type === 'transition' ? [action.cause.silent] : []));
    assert.equal(silent?.text, '10.0.0.1', 'who fell silent is told');
  });

  test('nothing happens a moment before the timer', () => {
    const stage = Stage.backup();
    stage.hear(254);
    assert.deepEqual(stage.advance(OWN_DOWN_MS - 0.001), []);
  });

  test('priority 0: the timer becomes Skew_Time', () => {
    const stage = Stage.backup();
    stage.hear(254);
    stage.advance(50);
    stage.hear(0);
    assert.equal(stage.router.deadlineMs, stage.nowMs + skewTimeMs(3, 212, 100));
    assert.deepEqual(causes(stage.advance(100)), ['Backup -> Active: 10.0.0.1 gave up (priority 0)']);
  });

  test('priority greater or equal: adopts Max Advertise Interval, recomputes and rearms', () => {
    const stage = Stage.backup({ preempt: 'always' });
    stage.hear(212, LOWER, 200);
    assert.equal(stage.router.deadlineMs, stage.nowMs + activeDownIntervalMs(3, 212, 200));
    stage.hear(254, LOWER, 50);
    assert.equal(stage.router.deadlineMs, stage.nowMs + activeDownIntervalMs(3, 212, 50));
  });

  test('Preempt_Mode False: a lower priority rearms the timer too', () => {
    const stage = Stage.backup({ preempt: 'never' });
    stage.advance(50);
    stage.hear(1);
    assert.equal(stage.router.deadlineMs, stage.nowMs + OWN_DOWN_MS);
  });

  test('Preempt_Mode True: a lower priority is discarded, so the timer fires', () => {
    const stage = Stage.backup({ preempt: 'always' });
    const armedAtMs = stage.router.deadlineMs;
    stage.hear(211);
    assert.equal(stage.router.deadlineMs, armedAtMs);
    assert.deepEqual(causes(stage.advance(1000)), [
      'Backup -> Active: own priority 212 is higher than the 211 of 10.0.0.1',
    ]);
  });

  test('the interval of another Active is adopted for waiting, not for sending', () => {
    const stage = Stage.backup();
    stage.hear(254, LOWER, 1000);
    assert.deepEqual(stage.advance(3 * 1000), []);
    stage.advance(200);
    assert.equal(stage.router.stateName, 'Active');
    assert.equal(sent(stage.advance(1000)).length, 10);
  });

  test('a Backup never sends', () => {
    const stage = Stage.backup();
    const actions: Action[] = [];
    for (let round = 0; round < 100; round += 1) actions.push(...stage.hear(254), ...stage.advance(100));
    assert.deepEqual(actions, []);
  });
});

describe('RFC 9568 6.4.3 Active', () => {
  test('Adver_Timer fires each Advertisement_Interval', () => {
    const actions = Stage.active().advance(1000);
    assert.equal(sent(actions).length, 10);
  });

  test('priority 0 from another: advertises at once', () => {
    const stage = Stage.active();
    stage.advance(50);
    assert.deepEqual(sent(stage.hear(0)), [212]);
    assert.equal(stage.router.deadlineMs <= stage.nowMs + 100, true);
  });

  test('a higher priority: to Backup, adopting its interval; a last word, then the addresses go', () => {
    const stage = Stage.active();
    const actions = stage.hear(254, LOWER, 50);
    assert.deepEqual(types(actions), ['send', 'unbind', 'transition']);
    assert.deepEqual(causes(actions), ['Active -> Backup: 10.0.0.1 advertises priority 254, own is 212']);
    assert.equal(stage.router.deadlineMs, stage.nowMs + activeDownIntervalMs(3, 212, 50));
  });

  test('an equal priority: the greater address wins, compared as unsigned octets', () => {
    assert.deepEqual(types(Stage.active().hear(212, HIGHER)), ['send', 'unbind', 'transition']);
    assert.deepEqual(types(Stage.active().hear(212, ip('10.0.0.200'))), ['send', 'unbind', 'transition']);
    const stage = Stage.active();
    stage.advance(50);
    assert.deepEqual(types(stage.hear(212, LOWER)), ['send']);
  });

  test('a lower priority: asserts itself at once, but a flood of them costs at most ten packets an interval', () => {
    const stage = Stage.active();
    stage.advance(50);
    assert.deepEqual(sent(stage.hear(211)), [212]);
    let count = 0;
    for (let packet = 0; packet < 1000; packet += 1) {
      count += sent(stage.hear(1)).length + sent(stage.advance(0.1)).length;
    }
    assert.ok(count >= 9 && count <= 11, `${count} packets`);
  });

  test('priority 255, an address owner: to Backup, whatever the own priority', () => {
    const stage = Stage.active({ priorities: { A: 254, B: 127, U: 63, C: 31 } });
    assert.deepEqual(types(stage.hear(255)), ['send', 'unbind', 'transition']);
  });

  test('Shutdown without handover: priority 0, then the addresses go', () => {
    const actions = Stage.active().give({ type: 'shutdown', handover: false, text: 'proxy failed' });
    assert.deepEqual(types(actions), ['send', 'unbind', 'transition']);
    assert.deepEqual(sent(actions), [0]);
  });
});

describe('RFC 3768', () => {
  test('6.1: version 2 skews by a fraction of a second', () => {
    const stage = Stage.backup({ version: 2, advertisementIntervalMs: 1000 });
    stage.hear(254, LOWER, 1000);
    assert.equal(stage.router.deadlineMs, stage.nowMs + 3000 + ((256 - 212) * 1000) / 256);
  });
});

describe('who holds the addresses', () => {
  test('class C never takes them, and says so once', () => {
    const stage = Stage.backup();
    stage.hear(254);
    stage.give({ type: 'health', class: 'C', confirmedAtMs: 0 });
    const actions = stage.advance(10_000);
    assert.deepEqual(types(actions), ['notice']);
    assert.equal(stage.router.stateName, 'Backup');
    stage.give({ type: 'health', class: 'A', confirmedAtMs: stage.nowMs });
    assert.equal(causes(stage.advance(500)).length, 1);
  });

  test('an Active that falls to C keeps them and tells the others at once', () => {
    const stage = Stage.active();
    stage.advance(30);
    assert.deepEqual(sent(stage.give({ type: 'health', class: 'C', confirmedAtMs: 0 })), [21]);
    stage.advance(60_000);
    assert.equal(stage.router.stateName, 'Active');
  });

  test('preempt unhealthy: neither A over B nor a higher A over a lower A', () => {
    const stage = Stage.backup();
    for (let round = 0; round < 50; round += 1) {
      stage.hear(round % 2 === 0 ? 64 : 128);
      stage.give({ type: 'health', class: 'A', confirmedAtMs: stage.nowMs });
      assert.deepEqual(causes(stage.advance(100)), []);
    }
  });

  const hearUnhealthy = (
    stage: Stage,
    rounds: number,
    confirm: boolean,
    { priority = 31, own = 'A' }: { readonly priority?: number; readonly own?: HealthClass } = {},
  ): string[] => {
    const seen: string[] = [];
    for (let round = 0; round < rounds; round += 1) {
      seen.push(...causes(stage.hear(priority)), ...causes(stage.advance(100)));
      if (confirm) stage.give({ type: 'health', class: own, confirmedAtMs: stage.nowMs });
    }
    return seen;
  };

  test('preempt unhealthy: an A takes over from a C once its own health is confirmed after the fall', () => {
    const stage = Stage.backup();
    for (let round = 0; round < 50; round += 1) {
      stage.hear(254);
      stage.advance(100);
    }
    assert.deepEqual(hearUnhealthy(stage, 20, false), []);
    assert.match(hearUnhealthy(stage, 20, true)[0] ?? '', /10\.0\.0\.1 advertises priority 31 \(class C/u);
  });

  test('preempt unhealthy: a node that knows what it serves takes over from one that cannot verify it, and not the reverse', () => {
    for (const own of ['A', 'B'] as const)
      assert.match(
        hearUnhealthy(Stage.backup(), 20, true, { priority: 63, own })[0] ?? '',
        /priority 63 \(class U/u,
      );
    for (const priority of [32, 63, 64, 254])
      assert.deepEqual(hearUnhealthy(Stage.backup(), 50, true, { priority, own: 'U' }), []);
    assert.match(hearUnhealthy(Stage.backup(), 20, true, { own: 'U' })[0] ?? '', /priority 31 \(class C/u);
  });

  test('class U takes the addresses when no Active is heard', () => {
    const stage = Stage.backup();
    stage.give({ type: 'health', class: 'U', confirmedAtMs: 0 });
    assert.ok(causes(stage.advance(1000)).some((cause) => cause.startsWith('Backup -> Active')));
  });

  test('preempt never: not even a C is preempted', () => {
    assert.deepEqual(hearUnhealthy(Stage.backup({ preempt: 'never' }), 50, true), []);
  });

  test('preemptDelay: not before the Active has been worth it for so long', () => {
    const stage = Stage.backup({ preempt: 'always', preemptDelayMs: 1000 });
    const seen: [number, string][] = [];
    const startMs = stage.nowMs;
    for (let round = 0; round < 30 && seen.length === 0; round += 1) {
      stage.hear(130);
      for (const cause of causes(stage.advance(100))) seen.push([stage.nowMs - startMs, cause]);
    }
    assert.ok((seen[0]?.[0] ?? 0) >= 1000, `took over after ${seen[0]?.[0]} ms`);
  });
});

describe('a stalled Active', () => {
  test('steps down after a gap longer than Active_Down_Interval, and forgets what is queued', () => {
    const stage = Stage.active();
    stage.nowMs += 5000;
    const actions = stage.give({ type: 'tick' });
    assert.deepEqual(types(actions), ['unbind', 'transition', 'discardQueued']);
    assert.deepEqual(actions[0], { type: 'unbind', handedOver: false });
    assert.match(causes(actions)[0] ?? '', /stalled: sent nothing for 5000 ms/u);
  });

  test('a queued packet that is read first is as old as the stall: no answer, no influence', () => {
    const stage = Stage.active();
    stage.nowMs += 5000;
    assert.deepEqual(sent(stage.hear(0)), []);
    assert.equal(stage.router.deadlineMs, stage.nowMs + OWN_DOWN_MS);
  });

  test('a claim that is heard first, which may be the word of a successor, is not answered', () => {
    const stage = Stage.active();
    stage.nowMs += 5000;
    assert.deepEqual(types(stage.give({ type: 'addressClaimed' })), [
      'unbind',
      'transition',
      'discardQueued',
    ]);
  });

  test('an Active that is no stalled one announces its addresses anew when another host claims them', () => {
    const stage = Stage.active();
    assert.deepEqual(types(stage.give({ type: 'addressClaimed' })), ['announce']);
    stage.give({ type: 'shutdown', handover: true, text: 'SIGTERM' });
    assert.deepEqual(types(stage.give({ type: 'addressClaimed' })), []);
  });

  test('another hardware address: an Active announces the addresses anew at once, and sends nothing else', () => {
    const stage = Stage.active();
    stage.advance(5000);
    assert.deepEqual(types(stage.give({ type: 'linkAddressChanged' })), []);
    assert.deepEqual(types(stage.give({ type: 'tick' })), ['announce']);
    assert.equal(stage.router.stateName, 'Active');
  });

  test('one that has told the Backups to wait longer is no stalled one for as long as they wait', () => {
    const stage = Stage.active();
    stage.nowMs += 250;
    stage.give({ type: 'tick' });
    stage.nowMs += 600;
    assert.deepEqual(types(stage.give({ type: 'tick' })).includes('unbind'), false);
    stage.nowMs += 650;
    assert.match(causes(stage.give({ type: 'tick' }))[0] ?? '', /stalled: sent nothing for 650 ms/u);
  });

  test('a short delay is not a stall', () => {
    const stage = Stage.active();
    stage.nowMs += 300;
    assert.deepEqual(causes(stage.give({ type: 'tick' })), []);
  });
});

describe('a machine that was suspended, which its clock leaves out', () => {
  test('an Active steps down when that was longer than an Active_Down_Interval, and not otherwise', () => {
    const stage = Stage.active();
    assert.deepEqual(stage.give({ type: 'suspended', forMs: 200 }), []);
    const actions = stage.give({ type: 'suspended', forMs: 8000 });
    assert.deepEqual(types(actions), ['unbind', 'transition', 'discardQueued']);
    assert.match(
      causes(actions)[0] ?? '',
      /this machine was suspended for 8000 ms, another node may have taken over$/u,
    );
    assert.deepEqual(Stage.active({ isAlone: true }).give({ type: 'suspended', forMs: 8000 }), []);
  });

  test('a Backup waits anew, as it was not there to hear the Active', () => {
    const stage = Stage.backup();
    stage.hear(254);
    stage.advance(OWN_DOWN_MS - 1);
    assert.deepEqual(stage.give({ type: 'suspended', forMs: 8000 }), []);
    assert.equal(stage.router.deadlineMs, stage.nowMs + OWN_DOWN_MS);
  });
});

describe('an Active that is late', () => {
  const intervals = (actions: readonly Action[]): number[] =>
    actions.flatMap((action) => (action.type === 'send' ? [action.intervalMs] : []));

  test('advertises twice its interval, as often as before, until it has been in time for 30 s', () => {
    const stage = Stage.active();
    stage.nowMs += 250;
    const late = stage.give({ type: 'tick' });
    assert.deepEqual(intervals(late), [200]);
    assert.match(
      late.flatMap((action) => (action.type === 'notice' ? [action.text] : []))[0] ?? '',
      /nothing for 250 ms/u,
    );
    const patient = intervals(stage.advance(29_900));
    assert.equal(patient.length, 299);
    assert.deepEqual([...new Set(patient)], [200]);
    assert.deepEqual(intervals(stage.advance(200)), [100, 100]);
  });

  test('says so once', () => {
    const stage = Stage.active();
    const notices = [1, 2, 3].flatMap(() => {
      stage.nowMs += 250;
      return types(stage.give({ type: 'tick' })).filter((type) => type === 'notice');
    });
    assert.equal(notices.length, 1);
  });

  test('remembers it when it steps down and becomes Active again', () => {
    const stage = Stage.active();
    stage.nowMs += 400;
    assert.ok(types(stage.give({ type: 'tick' })).includes('unbind'));
    assert.deepEqual(intervals(stage.advance(350)), [200]);
  });

  test('one that stood still for as long as the kernel keeps its address asks nobody to wait', () => {
    const stage = Stage.active();
    stage.nowMs += 1000;
    stage.give({ type: 'tick' });
    assert.deepEqual([...new Set(intervals(stage.advance(1000)))], [100]);
  });
});

describe('handover', () => {
  test('Shutdown when Active: priority 0 now and each interval; addresses stay until a successor is heard', () => {
    const stage = Stage.active();
    stage.advance(20);
    assert.deepEqual(types(stage.give({ type: 'shutdown', handover: true, text: 'SIGTERM' })), ['send']);
    const waiting = stage.advance(150);
    assert.deepEqual(sent(waiting), [0]);
    assert.ok(!types(waiting).includes('unbind') && !types(waiting).includes('announce'));
    const done = stage.hear(128);
    assert.deepEqual(types(done), ['unbind', 'transition']);
    assert.deepEqual(done[0], { type: 'unbind', handedOver: true });
    assert.deepEqual(causes(done), ['Active -> Initialize: SIGTERM: 10.0.0.1 has taken over']);
  });

  test('the lease is renewed while it waits', () => {
    const stage = Stage.active({ advertisementIntervalMs: 1000 });
    stage.give({ type: 'shutdown', handover: true, text: 'SIGTERM' });
    assert.ok(types(stage.advance(1500)).includes('renew'));
  });

  test('nobody takes over: it ends by itself', () => {
    const stage = Stage.active();
    stage.give({ type: 'shutdown', handover: true, text: 'SIGTERM' });
    assert.deepEqual(causes(stage.advance(5000)), ['Active -> Initialize: SIGTERM; no other node took over']);
    assert.equal(stage.router.deadlineMs, Infinity);
  });

  test('a stop with long intervals ends before a kubelet loses patience; a drain waits for two of them', () => {
    const stop = Stage.active({ advertisementIntervalMs: 40_950 });
    stop.give({ type: 'shutdown', handover: true, text: 'SIGTERM' });
    assert.equal(causes(stop.advance(20_100)).length, 1);
    const drain = Stage.active({ advertisementIntervalMs: 40_950 });
    drain.give({ type: 'drain', force: false });
    drain.advance(81_000);
    assert.equal(drain.router.drained, true);
  });

  test('nothing turns a router that is stopping into a Backup', () => {
    const ways: RouterEvent[] = [
      { type: 'drain', force: true },
      { type: 'drain', force: false },
      { type: 'bindFailed', text: 'EPERM' },
      { type: 'linkDown', text: 'no carrier' },
    ];
    for (const way of ways) {
      const stage = Stage.active();
      stage.give({ type: 'shutdown', handover: true, text: 'SIGTERM' });
      stage.give(way);
      stage.give({ type: 'linkUp', primary: SELF });
      stage.advance(1100);
      assert.equal(stage.router.stateName, 'Initialize', way.type);
    }
  });

  test('drain: hands over, and stays out until undrain', () => {
    const stage = Stage.active();
    stage.give({ type: 'drain', force: false });
    assert.deepEqual(causes(stage.hear(128)), ['Active -> Backup: drained: 10.0.0.1 has taken over']);
    assert.deepEqual(causes(stage.advance(10_000)), []);
    stage.give({ type: 'undrain' });
    assert.equal(causes(stage.advance(500)).length, 1);
  });

  test('drain that nobody answers is taken back: somebody must hold the addresses', () => {
    const stage = Stage.active();
    stage.give({ type: 'drain', force: false });
    const actions = stage.advance(1100);
    assert.equal(actions.filter((action) => action.type === 'notice').length, 1);
    assert.equal(stage.router.drained, false);
    assert.equal(sent(actions).at(-1), 212);
  });

  test('drain asked for again and again: it is taken back no later, and by force goes on', () => {
    const stage = Stage.active();
    const notices: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      assert.deepEqual(sent(stage.give({ type: 'drain', force: false })), round === 0 ? [0] : []);
      for (const action of stage.advance(400)) if (action.type === 'notice') notices.push(action.notice);
    }
    assert.deepEqual(notices, ['drain_failed']);
    stage.give({ type: 'drain', force: false });
    stage.advance(400);
    assert.deepEqual(types(stage.give({ type: 'drain', force: true })), []);
    assert.deepEqual(causes(stage.advance(700)), [
      'Active -> Backup: drained by force; no other node took over',
    ]);
    assert.equal(stage.router.drained, true);
  });

  test('drain by force hands over like any other where there is somebody to take over', () => {
    const stage = Stage.active();
    assert.deepEqual(sent(stage.give({ type: 'drain', force: true })), [0]);
    const actions = stage.hear(128);
    assert.deepEqual(actions[0], { type: 'unbind', handedOver: true });
    assert.deepEqual(causes(actions), ['Active -> Backup: drained by force: 10.0.0.1 has taken over']);
  });

  test('undrain during the wait takes the resignation back', () => {
    const stage = Stage.active();
    stage.give({ type: 'drain', force: false });
    assert.deepEqual(sent(stage.give({ type: 'undrain' })), [212]);
  });
});

describe('the answer to a resignation', () => {
  /** The Active resigns, and repeats priority 0 at its interval; returns after how long this Backup takes over. */
  const answerMs = (stage: Stage, intervalMs: number, repeatMs: number): number => {
    stage.hear(254, LOWER, intervalMs);
    stage.advance(30);
    const resignedAtMs = stage.nowMs;
    while (stage.router.stateName === 'Backup' && stage.nowMs < resignedAtMs + 5000) {
      stage.hear(0, LOWER, intervalMs);
      const deadlineMs = stage.router.deadlineMs;
      const actions = stage.advance(Math.min(repeatMs, deadlineMs - stage.nowMs));
      if (causes(actions).length > 0) assert.match(causes(actions)[0] ?? '', /gave up \(priority 0\)/u);
    }
    return stage.nowMs - resignedAtMs;
  };

  test('comes Skew_Time after the first priority 0, however often it is repeated', () => {
    for (const healthClass of ['A', 'B'] as const) {
      for (const priorities of [autoPriorities(0, 3), autoPriorities(2, 3), { A: 128, B: 64, U: 32, C: 1 }]) {
        for (const [intervalMs, repeatMs] of [
          [100, 100],
          [200, 100],
          [250, 130],
          [1000, 100],
          [100, 7],
        ] as const) {
          const stage = Stage.backup({ priorities });
          stage.give({ type: 'health', class: healthClass, confirmedAtMs: stage.nowMs });
          const expectedMs = skewTimeMs(3, priorities[healthClass], intervalMs);
          assert.equal(answerMs(stage, intervalMs, repeatMs).toFixed(6), expectedMs.toFixed(6));
        }
      }
    }
  });

  test('comes as early in version 2', () => {
    const stage = Stage.backup({
      version: 2,
      advertisementIntervalMs: 1000,
      priorities: { A: 1, B: 1, U: 1, C: 1 },
    });
    assert.equal(answerMs(stage, 1000, 100).toFixed(3), ((255 * 1000) / 256).toFixed(3));
  });

  test('is taken back when the Active stays, and comes anew when it resigns again', () => {
    const stage = Stage.backup();
    stage.hear(254);
    stage.hear(0);
    stage.advance(5);
    stage.hear(254);
    assert.equal(stage.router.deadlineMs, stage.nowMs + OWN_DOWN_MS);
    stage.advance(50);
    stage.hear(0);
    assert.equal(stage.router.deadlineMs, stage.nowMs + skewTimeMs(3, 212, 100));
  });

  test('one that is repeated is answered by a Backup that becomes eligible later', () => {
    const stage = Stage.backup();
    stage.hear(254);
    stage.give({ type: 'health', class: 'C', confirmedAtMs: 0 });
    const hear = (): string[] => [...causes(stage.hear(0)), ...causes(stage.advance(100))];
    assert.deepEqual([hear(), hear()].flat(), []);
    stage.give({ type: 'health', class: 'B', confirmedAtMs: stage.nowMs });
    assert.equal([hear(), hear()].flat().length, 1);
  });

  test('priority 0 of a node whose successor has been heard changes nothing', () => {
    const stage = Stage.backup();
    stage.hear(254, LOWER);
    stage.hear(0, LOWER);
    stage.advance(10);
    stage.hear(170, HIGHER);
    const dueMs = stage.router.deadlineMs;
    stage.hear(0, LOWER);
    assert.equal(stage.router.deadlineMs, dueMs);
    assert.equal(stage.router.heardActive?.address.text, HIGHER.text);
    assert.deepEqual(stage.advance(99), []);
  });

  test('priority 0 counts beside an Active that has been silent for longer than its interval', () => {
    const stage = Stage.backup();
    stage.hear(212, HIGHER);
    stage.advance(101);
    stage.hear(0, LOWER);
    assert.equal(stage.router.deadlineMs, stage.nowMs + skewTimeMs(3, 212, 100));
  });

  test('a stop that is asked for again does not wait for longer', () => {
    const stage = Stage.active();
    stage.give({ type: 'shutdown', handover: true, text: 'SIGTERM' });
    stage.advance(900);
    assert.deepEqual(stage.give({ type: 'shutdown', handover: true, text: 'SIGTERM' }), []);
    assert.equal(causes(stage.advance(100)).length, 1);
  });
});

describe('a successor whose kernel takes its time to bind', () => {
  test('advertises again once the address is bound, which the Active before waits for', () => {
    const stage = Stage.backup();
    stage.hear(254);
    stage.hear(0);
    assert.deepEqual(sent(stage.advance(50)), [212]);
    assert.deepEqual(sent(stage.give({ type: 'bound' })), [212]);
    assert.equal(stage.router.deadlineMs <= stage.nowMs + 100, true);
  });

  test('does not where no Active waits: after a loss, or when it resigns itself', () => {
    assert.deepEqual(Stage.active().give({ type: 'bound' }), []);
    const stage = Stage.backup();
    stage.hear(254);
    stage.hear(0);
    stage.advance(50);
    stage.give({ type: 'drain', force: false });
    assert.deepEqual(stage.give({ type: 'bound' }), []);
    assert.deepEqual(Stage.backup().give({ type: 'bound' }), []);
  });
});

describe('an Active that was followed once', () => {
  test('is forgotten by a promotion: after a stall the own interval counts', () => {
    for (const intervalMs of [1000, 40_950]) {
      const stage = Stage.backup();
      stage.hear(254, LOWER, intervalMs);
      stage.advance(4 * intervalMs);
      assert.equal(stage.router.stateName, 'Active');
      stage.nowMs += 401;
      assert.ok(types(stage.give({ type: 'tick' })).includes('unbind'));
      assert.equal(stage.router.deadlineMs, stage.nowMs + OWN_DOWN_MS);
    }
  });

  test('is forgotten whatever ends the term as Active without another', () => {
    const ways: RouterEvent[][] = [
      [{ type: 'bindFailed', text: 'EPERM' }],
      [
        { type: 'linkDown', text: 'no carrier' },
        { type: 'linkUp', primary: SELF },
      ],
    ];
    for (const way of ways) {
      const stage = Stage.backup();
      stage.hear(254, LOWER, 1000);
      stage.advance(4000);
      for (const event of way) stage.give(event);
      assert.equal(stage.router.deadlineMs, stage.nowMs + OWN_DOWN_MS);
    }
  });

  test('a successor is followed by its own interval', () => {
    const stage = Stage.active();
    stage.give({ type: 'drain', force: false });
    stage.hear(128, LOWER, 1000);
    assert.equal(stage.router.deadlineMs, stage.nowMs + activeDownIntervalMs(3, 212, 1000));
  });
});

describe('a router that is alone', () => {
  test('gives way to nobody: after a stall of any length it goes on', () => {
    for (const stallMs of [318, 401, 962, 2500, 60_000]) {
      const stage = Stage.active({ isAlone: true });
      stage.nowMs += stallMs;
      const actions = stage.give({ type: 'tick' });
      assert.deepEqual(causes(actions), []);
      assert.ok(!types(actions).includes('unbind'));
      assert.deepEqual(sent(actions), [212]);
      const notices = actions.flatMap((action) => (action.type === 'notice' ? [action.text] : []));
      assert.match(notices.join(), new RegExp(`sent nothing for ${stallMs} ms.*no other node`, 'u'));
      // The kernel may have taken the address away.
      assert.ok(types(actions).includes('renew') || stallMs < LEASE_RENEWAL_MS);
    }
  });

  test('says so once in 30 s', () => {
    const stage = Stage.active({ isAlone: true });
    let notices = 0;
    for (let stalls = 0; stalls < 30; stalls += 1) {
      stage.nowMs += 900;
      notices += types(stage.give({ type: 'tick' })).filter((type) => type === 'notice').length;
    }
    assert.equal(notices, 1);
  });

  test('keeps an address that cannot be renewed, or is taken away again and again', () => {
    const stage = Stage.active({ isAlone: true });
    const actions: Action[] = [];
    for (let times = 0; times < 20; times += 1) {
      actions.push(...stage.give({ type: 'renewalFailed', text: 'ENOBUFS' }), ...stage.advance(200));
    }
    for (let times = 0; times < 20; times += 1) {
      actions.push(...stage.give({ type: 'addressLost', text: 'removed' }), ...stage.advance(200));
    }
    assert.deepEqual(causes(actions), []);
    assert.ok(!types(actions).includes('unbind'));
    const restored = actions.filter(
      (action) => action.type === 'notice' && action.notice === 'address_restored',
    );
    assert.equal(restored.length, 4);
  });

  test('waits for a kernel that does not answer', () => {
    const stage = Stage.active({ isAlone: true });
    assert.deepEqual(types(stage.give({ type: 'leaseOverdue', text: 'no answer for 1000 ms' })), ['notice']);
    assert.equal(stage.router.stateName, 'Active');
  });

  test('is not alone once another router has been heard', () => {
    const stage = Stage.backup({ isAlone: true });
    stage.hear(254);
    stage.advance(OWN_DOWN_MS);
    assert.equal(stage.router.stateName, 'Active');
    stage.nowMs += 401;
    assert.match(causes(stage.give({ type: 'tick' }))[0] ?? '', /stalled/u);
  });

  test('learns during a stall that it is not alone: the packet that says so is read first', () => {
    const stage = Stage.active({ isAlone: true });
    stage.nowMs += 401;
    assert.match(causes(stage.hear(1))[0] ?? '', /stalled/u);
  });
});

describe('whom /status shows as Active', () => {
  test('nobody, once the Active is silent and this router cannot take over', () => {
    const stage = Stage.backup();
    stage.hear(254);
    stage.give({ type: 'health', class: 'C', confirmedAtMs: 0 });
    const shown = (): string | undefined => stage.router.heardActive?.address.text;
    assert.equal(shown(), LOWER.text);
    stage.advance(1000);
    assert.equal(shown(), undefined);
    stage.hear(128, HIGHER);
    assert.equal(shown(), HIGHER.text);
  });

  test('a router that takes over later still says who fell silent', () => {
    const stage = Stage.backup();
    stage.hear(254);
    stage.give({ type: 'health', class: 'C', confirmedAtMs: 0 });
    stage.advance(1000);
    stage.give({ type: 'health', class: 'A', confirmedAtMs: stage.nowMs });
    const [cause] = stage
      .advance(500)
      .flatMap((action) => (action.type === 'transition' ? [action.cause] : []));
    assert.equal(cause?.silent?.text, LOWER.text);
  });
});

describe('the kernel', () => {
  test('an address removed during a resignation is put back and not announced, as a successor may have done so', () => {
    const stage = Stage.active();
    stage.give({ type: 'drain', force: false });
    const actions = stage.give({ type: 'addressLost', text: '10.0.0.100 was removed' });
    assert.deepEqual(types(actions), ['bind', 'notice']);
  });

  test('an address removed from outside is put back and announced', () => {
    const actions = Stage.active().give({ type: 'addressLost', text: '10.0.0.100 was removed' });
    assert.deepEqual(types(actions), ['bind', 'announce', 'notice']);
  });

  test('an address that keeps being removed is given up, and stays given up for a while', () => {
    const stage = Stage.active();
    const actions = [1, 2, 3, 4].flatMap(() => stage.give({ type: 'addressLost', text: 'removed' }));
    assert.deepEqual(sent(actions), [0]);
    assert.deepEqual(causes(actions), ['Active -> Backup: removed, 4 times within 10 s']);
    assert.deepEqual(causes(stage.advance(HOLD_OFF_MS - 500)), []);
    assert.equal(causes(stage.advance(1000)).length, 1);
  });

  test('a rival of the time as Active is not remembered when it is given up for another reason', () => {
    const stage = Stage.active();
    stage.hear(106, LOWER);
    stage.advance(3_600_000);
    stage.give({ type: 'bindFailed', text: 'EPERM' });
    assert.equal(stage.router.heardActive, null);
    const [cause] = stage
      .advance(HOLD_OFF_MS + 1000)
      .flatMap((action) => (action.type === 'transition' ? [action.cause] : []));
    assert.match(cause?.text ?? '', /^no Active heard for /u);
    assert.equal(cause?.silent, undefined);
  });

  test('a renewal that fails is tried again; the third in a row gives the address up, and says so', () => {
    const stage = Stage.active();
    const fail = (): Action[] => {
      stage.advance(LEASE_RENEWAL_MS);
      return stage.give({ type: 'renewalFailed', text: 'cannot renew: ENOBUFS' });
    };
    for (let round = 0; round < 2; round += 1) {
      for (let count = 0; count < 2; count += 1) assert.deepEqual(types(fail()), ['notice']);
      // A good one in between.
      stage.advance(LEASE_RENEWAL_MS);
    }
    const actions = [fail(), fail(), fail()].flat();
    assert.deepEqual(sent(actions), [0]);
    assert.deepEqual(causes(actions), ['Active -> Backup: cannot renew: ENOBUFS, 3 times in a row']);
    assert.equal(stage.router.stateName, 'Backup');
  });

  test('a bind that fails lets others take over', () => {
    const actions = Stage.active().give({ type: 'bindFailed', text: 'EPERM' });
    assert.deepEqual(types(actions), ['send', 'unbind', 'transition']);
    assert.deepEqual(sent(actions), [0]);
  });

  test('the link goes: addresses go, no packet; the link returns: Backup', () => {
    const stage = Stage.active();
    assert.deepEqual(types(stage.give({ type: 'linkDown', text: 'eth0 has no carrier' })), [
      'unbind',
      'transition',
    ]);
    assert.deepEqual(causes(stage.give({ type: 'linkUp', primary: SELF })), [
      'Initialize -> Backup: the interface is up',
    ]);
  });

  test('announcements: a burst, one after more than a second, then a slow refresh', () => {
    const stage = Stage.active();
    const count = (actions: Action[]): number =>
      actions.filter((action) => action.type === 'announce').length;
    assert.equal(count(stage.advance(10_000)), ANNOUNCEMENT_OFFSETS_MS.length - 1);
    assert.equal(count(stage.advance(60_000)), 1);
  });
});

test('another Active has announced the addresses too: after it is answered they are announced anew, within bounds', () => {
  const stage = Stage.active();
  stage.advance(10_000);
  const count = (actions: Action[]): number => actions.filter((action) => action.type === 'announce').length;
  stage.hear(211);
  assert.equal(count(stage.advance(5000)), ANNOUNCEMENT_OFFSETS_MS.length);
  let flooded = 0;
  for (let round = 0; round < 1000; round += 1) flooded += count([...stage.hear(1), ...stage.advance(10)]);
  assert.ok(flooded <= 90, `${flooded} announcements in 10 s`);
});

describe('two Actives for longer than one Active_Down_Interval', () => {
  const notices = (actions: Action[]): string[] =>
    actions.flatMap((action) => (action.type === 'notice' ? [action.text] : []));
  const longMs = 2 * OWN_DOWN_MS;

  test('an Active says so of another one that does not give way, and not before', () => {
    const stage = Stage.active();
    const sinceMs = stage.nowMs;
    let first: number | null = null;
    let text = '';
    while (stage.nowMs - sinceMs < longMs) {
      const told = notices([...stage.hear(1), ...stage.advance(100)]);
      if (told.length > 0) first ??= stage.nowMs - sinceMs;
      text = told.at(-1) ?? text;
    }
    assert.ok(first !== null && first > OWN_DOWN_MS && first <= OWN_DOWN_MS + 200, `first after ${first} ms`);
    assert.match(text, /^two nodes have been Active for \d+ ms, this node and 10\.0\.0\.1: .*112/u);
  });

  test('a Backup says so of two that it hears', () => {
    const stage = Stage.backup();
    const told: string[] = [];
    for (let round = 0; round < 10; round += 1) {
      told.push(...notices([...stage.hear(254, LOWER), ...stage.hear(253, HIGHER), ...stage.advance(100)]));
    }
    assert.match(told[0] ?? '', /10\.0\.0\.1 and 10\.0\.0\.3|10\.0\.0\.3 and 10\.0\.0\.1/u);
  });

  test('a failover, a handover and a preemption are none', () => {
    const stage = Stage.backup();
    const told: string[] = [];
    const hearFor = (priority: number, source: IpAddress): void => {
      for (let round = 0; round < 10; round += 1)
        told.push(...notices([...stage.hear(priority, source), ...stage.advance(100)]));
    };
    hearFor(254, LOWER);
    hearFor(253, HIGHER);
    told.push(...notices(stage.hear(0, HIGHER)));
    hearFor(254, LOWER);
    assert.deepEqual(told, []);
  });
});

const anyEvent: fc.Arbitrary<RouterEvent> = fc.oneof(
  fc.constant<RouterEvent>({ type: 'startup' }),
  fc.constant<RouterEvent>({ type: 'linkUp', primary: SELF }),
  fc.constant<RouterEvent>({ type: 'linkDown', text: 'down' }),
  fc.constant<RouterEvent>({ type: 'tick' }),
  fc.constant<RouterEvent>({ type: 'addressLost', text: 'lost' }),
  fc.constant<RouterEvent>({ type: 'bound' }),
  fc.constant<RouterEvent>({ type: 'bindFailed', text: 'failed' }),
  fc.constant<RouterEvent>({ type: 'renewalFailed', text: 'failed' }),
  fc.constant<RouterEvent>({ type: 'undrain' }),
  fc.boolean().map((force): RouterEvent => ({ type: 'drain', force })),
  fc.boolean().map((handover): RouterEvent => ({ type: 'shutdown', handover, text: 'stop' })),
  fc
    .constantFrom<'A' | 'B' | 'C'>('A', 'B', 'C')
    .map((healthClass): RouterEvent => ({ type: 'health', class: healthClass, confirmedAtMs: 0 })),
  fc
    .tuple(fc.integer({ min: 0, max: 255 }), fc.constantFrom(LOWER, HIGHER))
    .map(([priority, source]) => heard(priority, source)),
);

test('whatever happens: bound only while Active, every promotion announces, only an Active sends', () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 700 }), anyEvent), { maxLength: 120 });
  fc.assert(
    fc.property(
      steps,
      fc.constantFrom<VirtualRouterOptions['preempt']>('never', 'unhealthy', 'always'),
      (script, preempt) => {
        const stage = new Stage({ preempt });
        let bound = false;
        for (const [waitMs, event] of script) {
          const before = stage.router.stateName;
          const events = [stage.advance(waitMs % 2 === 0 ? waitMs : 0), stage.give(event)];
          for (const actions of events) {
            for (const action of actions) {
              if (action.type === 'bind') bound = true;
              if (action.type === 'unbind') bound = false;
              if (action.type === 'transition' && action.to === 'Active') {
                assert.ok(types(actions).includes('announce'));
                assert.ok(types(actions).includes('bind'));
              }
            }
          }
          const wasOrIsActive =
            before === 'Active' ||
            events.some((list) => list.some((action) => action.type === 'transition')) ||
            stage.router.stateName === 'Active';
          if (events.some((list) => sent(list).length > 0)) assert.ok(wasOrIsActive);
          assert.equal(bound, stage.router.stateName === 'Active');
          assert.ok(stage.router.deadlineMs >= stage.nowMs || stage.router.stateName !== 'Initialize');
        }
      },
    ),
    { numRuns: 500 },
  );
});

describe('an Active that has lost its source address', () => {
  const LOST = { type: 'linkDown', text: 'eth0 has no address', handover: true } as const;

  test('leaves when no other node takes over, also when a drain had begun before', () => {
    for (const begin of [
      (_stage: Stage): void => undefined,
      (stage: Stage): void => void stage.give({ type: 'drain', force: false }),
    ]) {
      const stage = Stage.active();
      begin(stage);
      stage.give(LOST);
      stage.give({ type: 'undrain' });
      stage.advance(3000);
      assert.equal(stage.router.stateName, 'Initialize');
    }
  });

  test('goes on when the address is back, and announces the addresses anew', () => {
    const stage = Stage.active();
    stage.advance(5000);
    stage.give(LOST);
    assert.equal(stage.router.priority, 0);
    stage.give({ type: 'linkUp', primary: SELF });
    assert.deepEqual([stage.router.stateName, stage.router.priority], ['Active', 212]);
    assert.ok(stage.advance(50).some(({ type }) => type === 'announce'));
  });

  test('goes on to hand over when it was drained meanwhile', () => {
    const stage = Stage.active();
    stage.give(LOST);
    stage.give({ type: 'drain', force: false });
    stage.give({ type: 'linkUp', primary: SELF });
    assert.deepEqual(
      [stage.router.stateName, stage.router.priority, stage.router.drained],
      ['Active', 0, true],
    );
  });
});
