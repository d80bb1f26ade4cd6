/** Who may connect, and how many. Pure. */
import { inPrefix, type IpAddress, parseSocketAddress } from '../ip/address.ts';

export type Network = { readonly address: IpAddress; readonly prefixLength: number };

export type AdmissionLimits = {
  /** Clients at a time, over all workers. */
  readonly maxConnections: number;
  /** Clients at a time from one address, per worker; 0: no limit. */
  readonly maxConnectionsPerSource: number;
  /** Networks whose hosts may connect; empty: everybody. */
  readonly allowedSources: readonly Network[];
};

export type ProxyLimits = AdmissionLimits & {
  /** New clients a second, per worker; 0: no limit. */
  readonly acceptsPerSecond: number;
  /** Idle connections older than this, give or take a tenth, are closed; 0: never. */
  readonly maxConnectionAgeMs: number;
};

/** Why a client is turned away. */
export type Refusal = 'forbidden' | 'limit' | 'sourceLimit';

/** Verdicts about sources are remembered, as a few clients connect again and again. Bounded: then it starts anew. */
const MAX_REMEMBERED = 1024;

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #perSource = new Map<string, number>();
  readonly #allowed = new Map<string, boolean>();

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Null admits the client, who counts until `left`. `clients` is how many there are without it. */
  admit(source: string, clients: number): Refusal | null {
    const { maxConnections, maxConnectionsPerSource, allowedSources } = this.#limits;
    if (allowedSources.length > 0 && !this.#isAllowed(source)) return 'forbidden';
    if (clients >= maxConnections) return 'limit';
    if (maxConnectionsPerSource === 0) return null;
    const count = this.#perSource.get(source) ?? 0;
    if (count >= maxConnectionsPerSource) return 'sourceLimit';
    this.#perSource.set(source, count + 1);
    return null;
  }

  /** An admitted client has left. */
  left(source: string): void {
    const count = this.#perSource.get(source);
    if (count === undefined) return;
    if (count > 1) this.#perSource.set(source, count - 1);
    else this.#perSource.delete(source);
  }

  #isAllowed(source: string): boolean {
    const known = this.#allowed.get(source);
    if (known !== undefined) return known;
    const address = parseSocketAddress(source);
    const allowed =
      address !== null &&
      this.#limits.allowedSources.some((network) => inPrefix(address, network.address, network.prefixLength));
    if (this.#allowed.size >= MAX_REMEMBERED) this.#allowed.clear();
    this.#allowed.set(source, allowed);
    return allowed;
  }
}

/** A token bucket: so many clients a second, and as many at once after a quiet second. */
export class AcceptRate {
  readonly #perSecond: number;
  #tokens: number;
  #countedAtMs = 0;

  /** `perSecond` 0: no limit. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
  }

  /** 0 when another client may come now, else the time until one may (ms). */
  waitMs(nowMs: number): number {
    if (this.#perSecond === 0) return 0;
    const passedMs = Math.max(0, nowMs - this.#countedAtMs);
    this.#countedAtMs = nowMs;
    this.#tokens = Math.min(this.#perSecond, this.#tokens + (passedMs * this.#perSecond) / 1000);
    return this.#tokens >= 1 ? 0 : ((1 - this.#tokens) * 1000) / this.#perSecond;
  }

  /** A client has come. */
  take(): void {
    this.#tokens -= 1;
  }
}
