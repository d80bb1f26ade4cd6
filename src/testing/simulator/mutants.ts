/**
 * Routers with a planted bug, to see that the simulator finds it. Production code has no hooks for this: a mutant changes
 * what goes into a real router or comes out of it, or replaces one of its private methods, which TypeScript keeps
 * private and JavaScript does not.
 */
import type { Advertisement } from '../../vrrp/advertisement.ts';
import type { Action, RouterEvent, VirtualRouterOptions } from '../../vrrp/events.ts';
import { skewTimeMs } from '../../vrrp/intervals.ts';
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
  state: { name: string; activeDownAtMs: number; adverAtMs: number };
  started: boolean;
  activeAdverIntervalMs: number;
  isDrained: boolean;
  holdOffUntilMs: number;
  activeDownMs(): number;
  isOutrankedBy(advertisement: Advertisement): boolean;
  isEligible(nowMs: number): boolean;
  stepDownIfStalled(): boolean;
};

function internalsOf(router: VirtualRouter): Internals {
  const internals = router as unknown as Internals;
  for (const name of ['activeDownMs', 'isOutrankedBy', 'isEligible', 'stepDownIfStalled'] as const) {
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

/** As FRR computes it. */
function wholeCentiseconds(router: VirtualRouter, intervalMs: number): number {
  return Math.floor(skewTimeMs(router.options.version, router.priority, intervalMs) / 10) * 10;
}

const wholeCentisecondSkew = wrapping((step, router, internals) => {
  internals.activeDownMs = () => {
    const intervalMs = internals.activeAdverIntervalMs;
    return 3 * intervalMs + wholeCentiseconds(router, intervalMs);
  };
  return (event, nowMs) => {
    const actions = step(event, nowMs);
    const hasResigned = event.type === 'advertisement' && event.advertisement.priority === 0;
    if (hasResigned && router.stateName === 'Backup') {
      internals.state.activeDownAtMs = nowMs + wholeCentiseconds(router, internals.activeAdverIntervalMs);
    }
    return actions;
  };
});

/** The Adver_Timer goes on running in the Backup. */
const staleTimer = wrapping((step, router, internals) => (event, nowMs) => {
  const adverAtMs = router.stateName === 'Active' ? internals.state.adverAtMs : null;
  const actions = step(event, nowMs);
  if (adverAtMs !== null && router.stateName === 'Backup') internals.state.activeDownAtMs = adverAtMs;
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
    name: 'announces once only',
    breaks: ['announces-again', 'promotion-announces', 'neighbours-know'],
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
    name: 'no last word when outranked',
    breaks: ['neighbours-know'],
    createRouter: wrapping((step) => (event, nowMs) => {
      const actions = step(event, nowMs);
      return hasCause(actions, 'outranked') ? without(actions, 'send') : actions;
    }),
  },
];
