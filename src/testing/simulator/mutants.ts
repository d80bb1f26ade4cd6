/**
 * Routers with a planted bug, to see that the simulator finds it. Production code has no hooks for this: a mutant
 * changes what goes into a real router or comes out of it, or replaces one of its private methods, which TypeScript
 * keeps private and JavaScript does not.
 */
import type { Advertisement } from '../../vrrp/advertisement.ts';
import type { Action, RouterEvent, VirtualRouterOptions } from '../../vrrp/events.ts';
import { activeDownIntervalMs, skewTimeMs } from '../../vrrp/intervals.ts';
import { VirtualRouter } from '../../vrrp/virtual-router.ts';
import type { CreateRouter } from './daemon.ts';

export type Mutant = {
  readonly name: string;
  /** The rules that it breaks; which of them is seen first depends on the seed. */
  readonly breaks: readonly string[];
  readonly createRouter: CreateRouter;
};

/** What mutants reach for. */
type Internals = {
  state: { name: string; timer: Timer; adverAtMs: number };
  started: boolean;
  isDrained: boolean;
  holdOffUntilMs: number;
  isOutrankedBy(advertisement: Advertisement): boolean;
  isEligible(nowMs: number): boolean;
  stepDownIfStalled(): boolean;
};

/** Of the ActiveDownTimer. */
type Timer = { intervalMs: number; atMs: number; answersResignation: boolean };

function internalsOf(router: VirtualRouter): Internals {
  const internals = router as unknown as Internals;
  for (const name of ['isOutrankedBy', 'isEligible', 'stepDownIfStalled'] as const) {
    if (typeof internals[name] !== 'function')
      throw new Error(`VirtualRouter has no method ${name} any more`);
  }
  return internals;
}

type Step = (event: RouterEvent, nowMs: number) => Action[];

/** A real router whose `step` is what `wrap` makes of it. */
function wrapping(
  wrap: (step: Step, router: VirtualRouter, internals: Internals) => Step,
  change: (options: VirtualRouterOptions) => VirtualRouterOptions = (options) => options,
): CreateRouter {
  return (options) => {
    const router = new VirtualRouter(change(options));
    const step: Step = (event, nowMs) => VirtualRouter.prototype.step.call(router, event, nowMs);
    router.step = wrap(step, router, internalsOf(router));
    return router;
  };
}

/** A real router after `change`. */
function changing(change: (internals: Internals, router: VirtualRouter) => void): CreateRouter {
  return wrapping((step, router, internals) => {
    change(internals, router);
    return step;
  });
}

const hasCause = (actions: readonly Action[], kind: string): boolean =>
  actions.some((action) => action.type === 'transition' && action.cause.kind === kind);

const without = (actions: readonly Action[], type: Action['type']): Action[] =>
  actions.filter((action) => action.type !== type);

const timerOf = (router: VirtualRouter, internals: Internals): Timer | null =>
  router.stateName === 'Backup' ? internals.state.timer : null;

/** As FRR computes it. */
const wholeCentisecondSkew = wrapping((step, router, internals) => (event, nowMs) => {
  const beforeMs = timerOf(router, internals)?.atMs;
  const actions = step(event, nowMs);
  const timer = timerOf(router, internals);
  if (timer === null || timer.atMs === beforeMs) return actions;
  timer.atMs -= skewTimeMs(router.options.version, router.priority, timer.intervalMs) % 10;
  return actions;
});

/** A defect that there was: an Active that repeats priority 0 more often than Skew_Time never gets a successor. */
const repeatedPriorityZeroRearms = wrapping((step, router, internals) => (event, nowMs) => {
  const timer = timerOf(router, internals);
  if (event.type === 'advertisement' && timer !== null) timer.answersResignation = false;
  return step(event, nowMs);
});

/** A defect that there was: after a promotion and a stall the router waits as long as for the Active before. */
const intervalSticks = wrapping((step, router, internals) => {
  let followedMs = router.options.advertisementIntervalMs;
  return (event, nowMs) => {
    const wasActive = router.stateName === 'Active';
    const actions = step(event, nowMs);
    const timer = timerOf(router, internals);
    if (timer === null) return actions;
    if (wasActive && event.type !== 'advertisement') {
      timer.atMs +=
        activeDownIntervalMs(router.options.version, router.priority, followedMs) -
        activeDownIntervalMs(router.options.version, router.priority, timer.intervalMs);
      timer.intervalMs = followedMs;
    }
    followedMs = timer.intervalMs;
    return actions;
  };
});

/** The Adver_Timer goes on running in the Backup. */
const staleTimer = wrapping((step, router, internals) => (event, nowMs) => {
  const adverAtMs = router.stateName === 'Active' ? internals.state.adverAtMs : null;
  const actions = step(event, nowMs);
  if (adverAtMs !== null && router.stateName === 'Backup') internals.state.timer.atMs = adverAtMs;
  return actions;
});

/** A defect that there was: the router no longer knows that it is to stop. */
const drainForgetsStop = wrapping((step, _, internals) => (event, nowMs) => {
  if (event.type === 'drain') internals.started = true;
  return step(event, nowMs);
});

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'skew in whole centiseconds',
    breaks: ['too-early', 'preemption', 'one-successor'],
    createRouter: wholeCentisecondSkew,
  },
  {
    name: 'no tie-break by address',
    breaks: ['one-active'],
    createRouter: changing((internals, router) => {
      internals.isOutrankedBy = ({ priority }) => priority > router.priority;
    }),
  },
  {
    name: 'stale timer after becoming Backup',
    breaks: ['too-early', 'preemption'],
    createRouter: staleTimer,
  },
  {
    name: 'class C takes the VIP',
    breaks: ['class-c'],
    createRouter: changing((internals) => {
      internals.isEligible = (nowMs) => !internals.isDrained && nowMs >= internals.holdOffUntilMs;
    }),
  },
  {
    name: 'stall not detected',
    breaks: ['stalled'],
    createRouter: changing((internals) => {
      internals.stepDownIfStalled = () => false;
    }),
  },
  {
    name: 'unbind forgotten when outranked',
    breaks: ['bound-only-while-active'],
    createRouter: wrapping((step) => (event, nowMs) => {
      const actions = step(event, nowMs);
      return hasCause(actions, 'outranked') ? without(actions, 'unbind') : actions;
    }),
  },
  {
    name: 'handover that unbinds at once',
    breaks: ['bound-only-while-active', 'no-gap'],
    createRouter: wrapping((step, router) => (event, nowMs) => {
      const resigns = event.type === 'shutdown' && event.handover && router.stateName === 'Active';
      const actions = step(event, nowMs);
      return resigns ? [...actions, { type: 'unbind', handedOver: false }] : actions;
    }),
  },
  {
    name: 'preempts a class C without a check of its own since',
    breaks: ['unconfirmed', 'outage-moves-nothing'],
    createRouter: wrapping(
      (step) => (event, nowMs) =>
        step(event.type === 'health' ? { ...event, confirmedAtMs: nowMs } : event, nowMs),
    ),
  },
  {
    name: 'preempts a healthy Active under unhealthy',
    breaks: ['preemption', 'unconfirmed'],
    createRouter: wrapping(
      (step) => step,
      (options) => (options.preempt === 'unhealthy' ? { ...options, preempt: 'always' } : options),
    ),
  },
  {
    name: 'asks for patience for ever',
    breaks: ['interval'],
    createRouter: wrapping((step) => {
      let longestMs = 0;
      return (event, nowMs) =>
        step(event, nowMs).map((action) => {
          if (action.type !== 'send') return action;
          longestMs = Math.max(longestMs, action.intervalMs);
          return { ...action, intervalMs: longestMs };
        });
    }),
  },
  {
    name: 'lease not renewed',
    breaks: ['lease-renewed'],
    createRouter: wrapping((step) => (event, nowMs) => without(step(event, nowMs), 'renew')),
  },
  {
    name: 'a renewal counts when it is asked for, not when the kernel answers',
    breaks: ['active-without-address'],
    createRouter: wrapping(
      (step) => (event, nowMs) => (event.type === 'leaseOverdue' ? [] : step(event, nowMs)),
    ),
  },
  {
    name: 'takes the VIP before its kernel has answered',
    breaks: ['awaits-kernel'],
    createRouter: wrapping((step) => (event, nowMs) => {
      const actions = step(event, nowMs);
      if (hasCause(actions, 'lease_overdue')) step({ type: 'leaseAnswered' }, nowMs);
      return actions;
    }),
  },
  {
    name: 'announces once only',
    breaks: ['announces-again', 'promotion-announces', 'neighbors-know'],
    createRouter: wrapping((step) => (event, nowMs) => {
      const actions = step(event, nowMs);
      return event.type === 'tick' && !hasCause(actions, 'active_silent')
        ? without(actions, 'announce')
        : actions;
    }),
  },
  {
    name: 'a drain makes a stopping router go on',
    breaks: ['stops'],
    createRouter: drainForgetsStop,
  },
  {
    name: 'a repeated priority 0 re-arms',
    breaks: ['answers-resignation', 'successor-in-time'],
    createRouter: repeatedPriorityZeroRearms,
  },
  {
    name: 'the interval of a former Active sticks',
    breaks: ['waits-too-long'],
    createRouter: intervalSticks,
  },
  {
    name: 'no last word when outranked',
    breaks: ['neighbors-know'],
    createRouter: wrapping((step) => (event, nowMs) => {
      const actions = step(event, nowMs);
      return hasCause(actions, 'outranked') ? without(actions, 'send') : actions;
    }),
  },
];
