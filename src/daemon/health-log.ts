/** The log's lines about health: the node's class, and what changes at each API server. */
import { type BackendHealth, type BackendState, latestCheckMs } from '../health/backend.ts';
import type { HealthReport } from '../health/driver/checker.ts';
import type { Log } from '../log/log.ts';

const CLASS_TEXT = {
  A: 'the local API server is healthy',
  B: 'only API servers of peers are healthy',
  U: 'API servers answer, but none can be verified; this node may hold the VIP while no node is of class A or B: see the lines on each API server, and correct their certificates, health.caFile or health.path',
  C: 'no API server is healthy; this node does not take the VIP, but keeps it if it has it',
} as const;

/** Between lines that say that nothing can be verified. */
const REMINDER_MS = 60_000;

export class HealthLog {
  readonly #log: Log;
  /** The path of the checks, which the operator may have to change. */
  readonly #path: string;
  #remindedAtMs: number | null = null;

  constructor(log: Log, path: string) {
    this.#log = log;
    this.#path = path;
  }

  /** A check has changed the state of a backend. */
  transition(backend: BackendHealth, previous: BackendState): void {
    const detail = backend.lastCheck?.detail ?? '';
    const level = backend.state === 'down' ? 'warn' : 'info';
    this.#log(level, `API server ${backend.id} ${previous} -> ${backend.state}: ${detail}`, {
      event: 'backend',
      backend: backend.id,
      from: previous,
      to: backend.state,
      local: backend.local,
    });
  }

  /** A check has ended. Logs what differs from the report before: nothing, after most checks. */
  report(latest: HealthReport, before: HealthReport): void {
    for (const [index, backend] of latest.backends.entries()) {
      const earlier = before.backends[index];
      if (backend.misconfigured && earlier?.misconfigured !== true) this.#misconfigured(backend);
      if (backend.withheld !== (earlier?.withheld ?? null)) this.#withheld(backend);
    }
    const isNews = !before.settled || before.class !== latest.class || this.#isReminderDue(latest);
    if (!latest.settled || !isNews) return;
    this.#log(
      latest.class === 'A' || latest.class === 'B' ? 'info' : 'warn',
      `health class ${latest.class}: ${CLASS_TEXT[latest.class]}`,
      { event: 'class', class: latest.class },
    );
  }

  /** Nodes that cannot verify any API server do not go unnoticed: every minute, by the time of the latest check. */
  #isReminderDue({ class: healthClass, backends }: HealthReport): boolean {
    const atMs = latestCheckMs(backends);
    if (healthClass !== 'U') this.#remindedAtMs = null;
    else if (this.#remindedAtMs === null || atMs - this.#remindedAtMs >= REMINDER_MS) {
      this.#remindedAtMs = atMs;
      return true;
    }
    return false;
  }

  #misconfigured({ id, lastCheck }: BackendHealth): void {
    const text = `API server ${id} lives but refuses the check (${lastCheck?.detail}): let anonymous users read ${this.#path}, or set health.path to what they may read`;
    this.#log('warn', text, { event: 'misconfigured', backend: id });
  }

  #withheld({ id, withheld, lastCheck }: BackendHealth): void {
    const what = withheld === 'notReady' ? 'is not ready' : 'does not last';
    const text =
      withheld === null
        ? `API server ${id} gets new clients again`
        : `API server ${id} ${what} (${lastCheck?.detail}): it gets no new clients while another can, and keeps those it has`;
    this.#log('info', text, { event: 'withheld', backend: id, withheld });
  }
}
