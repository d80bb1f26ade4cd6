/** Why the daemon does not take part: a reason that is a metric's label, and a sentence for people. Pure. */
import type { ThreadVitals } from '../runtime/thread-vitals.ts';
import type { ElectionSnapshot } from './messages.ts';
import { hungThreads } from './supervision.ts';
import { WAIT_SUBJECTS, type WaitReason } from './waits.ts';

/** The values of the label `reason`. */
export const NOT_READY_REASONS = [
  ...(Object.keys(WAIT_SUBJECTS) as WaitReason[]),
  'unchecked',
  'not_in_election',
  'not_listening',
  'thread_hangs',
  'stopping',
] as const;
export type NotReadyReason = (typeof NOT_READY_REASONS)[number];

export type Impediment = { readonly reason: NotReadyReason; readonly text: string };

/** What readiness depends on. */
export type ReadinessFacts = {
  readonly election: ElectionSnapshot;
  /** Every API server has been checked. */
  readonly settled: boolean;
  readonly threads: Readonly<Record<string, ThreadVitals>>;
  readonly proxy: { readonly listeners: number };
};

/** Empty once the daemon proxies and stands for election. */
export function impediments(facts: ReadinessFacts): Impediment[] {
  const { election, settled, threads } = facts;
  const ages = Object.fromEntries(
    Object.entries(threads).map(([name, { heartbeatAgeMs }]) => [name, heartbeatAgeMs]),
  );
  const found: Impediment[] = [
    ...hungThreads(ages).map((text) => ({ reason: 'thread_hangs', text }) as const),
    ...listenerProblems(facts).map((text) => ({ reason: 'not_listening', text }) as const),
  ];
  if (election.stopping) found.push({ reason: 'stopping', text: 'stopping' });
  if (election.waitingFor !== null)
    found.push({ reason: election.waitReason ?? 'start', text: `waiting for ${election.waitingFor}` });
  else if (!settled) found.push({ reason: 'unchecked', text: 'the API servers have not been checked yet' });
  for (const { state, vip, cause } of election.routers) {
    if (state === 'Initialize')
      found.push({ reason: 'not_in_election', text: `not in the election for ${vip}: ${cause}` });
  }
  return found;
}

/** Each proxy thread listens from the moment that it is known here, until the daemon stops. */
export function listenerProblems({
  threads,
  proxy: { listeners },
  election,
}: Omit<ReadinessFacts, 'settled'>): string[] {
  const proxyThreads = Object.keys(threads).filter((name) => name.startsWith('proxy')).length;
  if (election.stopping || listeners >= proxyThreads) return [];
  return [`only ${listeners} of ${proxyThreads} proxy threads listen`];
}

/** Between two lines of the log about the same. */
const REMIND_MS = 300_000;

/** Says again and again that the daemon is not ready: the one line at the beginning may be long gone. */
export class NotReadyReminder {
  #sinceMs: number | null = null;
  #toldMs = 0;

  /** To be called now and then. Returns a line for the log, REMIND_MS after the beginning and after each line. */
  look(found: readonly Impediment[], nowMs: number): string | null {
    if (found.length === 0) {
      this.#sinceMs = null;
      return null;
    }
    if (this.#sinceMs === null) {
      this.#sinceMs = nowMs;
      this.#toldMs = nowMs;
    }
    if (nowMs - this.#toldMs < REMIND_MS) return null;
    this.#toldMs = nowMs;
    const minutes = Math.round((nowMs - this.#sinceMs) / 60_000);
    return `not ready for ${minutes} minutes: ${found.map(({ text }) => text).join('; ')}`;
  }
}
