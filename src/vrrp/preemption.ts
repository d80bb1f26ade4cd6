/** Preempt_Mode (RFC 9568 6.1): whether a Backup takes the addresses from an Active that it hears. Pure. */
import type { Cause, HeardActive, VirtualRouterOptions } from './events.ts';
import type { HealthClass } from '../node/health-class.ts';
import { classOfPriority } from './priority.ts';

/** What this router has to set against the Active that it hears. */
export type Challenger = {
  /** Whether it may hold the addresses now. */
  readonly isEligible: boolean;
  readonly priority: number;
  /** When the latest check began that shows this node better off than one of class C; 0 if none does. */
  readonly confirmedAtMs: number;
};

export class Preemption {
  readonly #options: Pick<VirtualRouterOptions, 'preempt' | 'preemptDelayMs'>;
  /** Since when the Active that is heard has been worth preempting. */
  #sinceMs: number | null = null;

  constructor(options: Pick<VirtualRouterOptions, 'preempt' | 'preemptDelayMs'>) {
    this.#options = options;
  }

  /** There is no Active any more that could be preempted. */
  reset(): void {
    this.#sinceMs = null;
  }

  /**
   * Why `active`, which was heard just now, should lose the addresses to this router; null when it should not, or not
   * yet.
   */
  reasonAgainst(active: HeardActive, own: Challenger): Cause | null {
    const { preempt, preemptDelayMs } = this.#options;
    const { heardAtMs, priority, address } = active;
    const unhealthy = preempt === 'unhealthy' && isWorseOff(priority, own.priority);
    const lower = preempt === 'always' && priority < own.priority;
    if (!own.isEligible || !(unhealthy || lower)) {
      this.#sinceMs = null;
      return null;
    }
    this.#sinceMs ??= heardAtMs;
    if (heardAtMs - this.#sinceMs < preemptDelayMs) return null;
    if (lower) {
      const text = `own priority ${own.priority} is higher than the ${priority} of ${address.text}`;
      return { kind: 'preempted_lower', text };
    }
    // In an etcd election every node's checks fail within a moment of each other, and succeed again likewise. Only a
    // good check that began after the Active's fall shows that this node is better off.
    if (own.confirmedAtMs <= this.#sinceMs) return null;
    const text = `${address.text} advertises priority ${priority} (${WORSE_TEXT[classOfPriority(priority)]})`;
    return { kind: 'preempted_unhealthy', text };
  }
}

const WORSE_TEXT: Readonly<Record<HealthClass, string>> = {
  A: 'class A',
  B: 'class B',
  U: 'class U: it cannot verify any API server',
  C: 'class C: it has nothing to serve',
};

/** Class C has nothing to serve; class U may have, and gives way to a node that knows that it has. */
function isWorseOff(activePriority: number, ownPriority: number): boolean {
  const active = classOfPriority(activePriority);
  const own = classOfPriority(ownPriority);
  return active === 'C' ? own !== 'C' : active === 'U' && (own === 'A' || own === 'B');
}
