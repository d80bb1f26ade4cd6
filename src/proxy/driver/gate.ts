/** Lets clients in or turns them away: counts them, and says why, within limits. */
import type { LogFields, LogLevel } from '../../log/log.ts';
import { AcceptRate } from '../accept-rate.ts';
import {
  Admission,
  FEW_CONNECTIONS,
  type AdmissionMemory,
  type ProxyLimits,
  type Refusal,
} from '../admission.ts';
import type { ProxyCounters } from '../counters.ts';

export type GateOptions = {
  readonly limits: ProxyLimits;
  readonly counters: ProxyCounters;
  readonly memory: AdmissionMemory;
  /** Lines of one key are limited. */
  readonly log: (key: string, level: LogLevel, message: string, fields: LogFields) => void;
};

export class Gate {
  readonly #options: GateOptions;
  readonly #admission: Admission;
  readonly #acceptRate: AcceptRate;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#admission = new Admission(options.limits, options.memory);
    this.#acceptRate = new AcceptRate(options.memory.acceptRate, options.limits.acceptsPerSecond);
  }

  /** How long the next client has to wait (ms); 0: it may be accepted now. */
  waitMs(nowMs: number): number {
    const waitMs = this.#acceptRate.waitMs(nowMs);
    if (waitMs === 0) return 0;
    const { counters, limits, log } = this.#options;
    counters.add('rateLimited');
    log(
      'rate',
      'warn',
      `clients wait: ${limits.acceptsPerSecond} a second have come, which is the limit (proxy.acceptRate)`,
      { limit: limits.acceptsPerSecond },
    );
    return waitMs;
  }

  /** A client has been accepted from this address. True: it may stay, and counts until `left`. */
  admit(client: string, nowMs: number): boolean {
    const { counters } = this.#options;
    counters.add('accepted');
    this.#acceptRate.take(nowMs);
    const refusal = this.#admission.admit(client, counters.addClients(1));
    if (refusal === null) return true;
    counters.addClients(-1);
    this.#tell(refusal, client);
    return false;
  }

  left(client: string): void {
    this.#admission.left(client);
    this.#options.counters.addClients(-1);
  }

  #tell(refusal: Refusal, client: string): void {
    const { limits, counters, log } = this.#options;
    const { maxConnections, maxConnectionsPerSource } = limits;
    switch (refusal) {
      case 'limit':
        counters.add('overLimit');
        log(
          refusal,
          'warn',
          `client refused: ${maxConnections} clients are connected, which is the limit (proxy.maxConnections, or the limit on open files)`,
          { limit: maxConnections },
        );
        break;
      case 'sourceLimit':
        counters.add('overSourceLimit');
        log(
          refusal,
          'warn',
          `client refused: ${client} has ${maxConnectionsPerSource} connections, which is the limit (proxy.maxConnectionsPerSource)`,
          { client, limit: maxConnectionsPerSource },
        );
        break;
      case 'reserved':
        counters.add('overSourceLimit');
        log(
          refusal,
          'warn',
          `client refused: nearly all of ${maxConnections} places are taken, and the rest is for sources with fewer than ${FEW_CONNECTIONS} connections, and ${client} has more: find out what connects from there, or raise proxy.maxConnections`,
          { client, limit: maxConnections },
        );
        break;
      case 'forbidden':
        counters.add('forbidden');
        log(refusal, 'warn', `client refused: ${client} is in no network of proxy.allowedSources`, {
          client,
        });
        break;
    }
  }
}
