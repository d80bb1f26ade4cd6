/** Counts, and tells within limits, what comes so fast that the kernel drops it unread. */
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import { type RouterCounters, UNREAD_KINDS, type UnreadKind } from './counters.ts';
import type { RouterSockets } from './router-sockets.ts';

const MEANING: Record<UnreadKind, string> = {
  expected:
    'advertisements of this VRID come faster than they are read, so one of the holder may be among those that are lost and the VIP may move',
  unexpected:
    'VRRP packets that cannot be of this virtual router come faster than they are looked at; the election does not need them',
};

const LOG_PERIOD_MS = 60_000;

export class UnreadPackets {
  readonly #counters: RouterCounters;
  readonly #log: Log;
  readonly #logLimit = new LogLimit(LOG_PERIOD_MS, UNREAD_KINDS.length);
  #counted: Record<UnreadKind, number> = { expected: 0, unexpected: 0 };

  constructor(counters: RouterCounters, log: Log) {
    this.#counters = counters;
    this.#log = log;
  }

  /** The socket is a new one, which counts from zero. */
  begin(): void {
    this.#counted = { expected: 0, unexpected: 0 };
  }

  /** To be called now and then, `linkName` being the link of the sockets. */
  look(sockets: Pick<RouterSockets, 'unread'>, linkName: string, nowMs: number): void {
    const now = sockets.unread();
    for (const kind of UNREAD_KINDS) {
      // The kernel's counter has 32 bits.
      const lost = (now[kind] - this.#counted[kind]) >>> 0;
      if (lost === 0) continue;
      this.#counters.unread[kind] += lost;
      const suppressed = this.#logLimit.take(kind, nowMs);
      if (suppressed === null) continue;
      const text = `${MEANING[kind]} (${lost} lost at the last count): find who sends them (tcpdump -eni ${linkName} proto 112) and stop it`;
      this.#log('warn', text, { event: 'unread', kind, lost, suppressed });
    }
    this.#counted = now;
  }
}
