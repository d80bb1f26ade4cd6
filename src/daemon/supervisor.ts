/**
 * Watches the other threads from the election's own, and makes the health class of what they report. Main thread only.
 */
import { errorText } from '../log/error-text.ts';
import type { Log } from '../log/log.ts';
import type { HealthClass } from '../node/health-class.ts';
import { monotonicMs } from '../runtime/clock.ts';
import { writeEmergencyLine } from '../runtime/emergency.ts';
import { readThreadVitals, THREAD_NETWORK, THREAD_PROXY, THREAD_SERVICES } from '../runtime/thread-vitals.ts';
import { Supervision, type ThreadAges } from './supervision.ts';

const LOOK_MS = 250;

export type SupervisorOptions = {
  readonly vitals: SharedArrayBuffer;
  readonly proxyThreads: number;
  /** How old the latest report of the checks may be, ms. */
  readonly maxHealthAgeMs: number;
  readonly log: Log;
  /** The class that counts, and since when this node has been better off than class C; see RouterEvent. */
  readonly onHealth: (healthClass: HealthClass, confirmedAtMs: number) => void;
  /** The process has to end, for this reason. */
  readonly onDoom: (reason: string) => void;
};

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #supervision: Supervision;
  readonly #timer: NodeJS.Timeout;
  #reported: { readonly healthClass: HealthClass; readonly confirmedAtMs: number } | null = null;
  #impediment: string | null = null;

  /** Watches from now on, when every thread has been started. */
  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#supervision = new Supervision(options.maxHealthAgeMs);
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Why this node cannot serve though its API servers may be well; null: nothing is in the way. */
  get impediment(): string | null {
    return this.#impediment;
  }

  /** The checks have this to report. */
  report(healthClass: HealthClass, confirmedAtMs: number): void {
    this.#supervision.noteHealth(monotonicMs());
    this.#reported = { healthClass, confirmedAtMs };
    this.#look();
    this.#tellElection();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { impediment, doom } = this.#supervision.look(this.#ages(), monotonicMs());
    const hasChanged = (impediment === null) !== (this.#impediment === null);
    this.#impediment = impediment;
    if (hasChanged) this.#onChange(impediment);
    if (doom === null) return;
    this.stop();
    this.#write('error', `${doom}: giving up the VIP and ending`, 'doomed');
    this.#options.onDoom(doom);
  }

  #onChange(impediment: string | null): void {
    const text =
      impediment === null
        ? `every thread runs and the checks report: health class ${this.#reported?.healthClass ?? 'C'} is in force again`
        : `health class C, so that a healthy node can take over: ${impediment}`;
    this.#write(impediment === null ? 'info' : 'error', text, 'supervision');
    this.#tellElection();
  }

  #tellElection(): void {
    if (this.#reported === null) return;
    const { healthClass, confirmedAtMs } = this.#reported;
    this.#options.onHealth(this.#impediment === null ? healthClass : 'C', confirmedAtMs);
  }

  /** To the log, and to standard error where the thread that writes the log may be the one that hangs. */
  #write(level: 'info' | 'error', text: string, event: string): void {
    this.#options.log(level, text, { event });
    if (level === 'info') return;
    try {
      writeEmergencyLine(JSON.stringify({ level, time: new Date().toISOString(), event, msg: text }));
    } catch (error) {
      this.#options.log('warn', `cannot write to standard error: ${errorText(error)}`, { event });
    }
  }

  #ages(): ThreadAges {
    const ageOf = (thread: number): number => readThreadVitals(this.#options.vitals, thread).heartbeatAgeMs;
    const ages: Record<string, number> = {
      services: ageOf(THREAD_SERVICES),
      network: ageOf(THREAD_NETWORK),
    };
    for (let index = 0; index < this.#options.proxyThreads; index += 1)
      ages[`proxy${index}`] = ageOf(THREAD_PROXY + index);
    return ages;
  }
}
