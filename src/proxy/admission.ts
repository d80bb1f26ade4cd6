/** Who may connect, and how many. Pure. */
import { inPrefix, type IpAddress, parseSocketAddress } from '../ip/address.ts';
import { AcceptRate } from './accept-rate.ts';
import { SourceCounts } from './source-counts.ts';

export type Network = { readonly address: IpAddress; readonly prefixLength: number };

/** All limits are over all workers together. */
export type AdmissionLimits = {
  /** Clients at a time. */
  readonly maxConnections: number;
  /** Clients at a time from one address; 0: no limit. */
  readonly maxConnectionsPerSource: number;
  /** Networks whose hosts may connect; empty: everybody. */
  readonly allowedSources: readonly Network[];
};

export type ProxyLimits = AdmissionLimits & {
  /** New clients a second; 0: no limit. */
  readonly acceptsPerSecond: number;
  /** Idle connections older than this, give or take a tenth, are closed; 0: never. */
  readonly maxConnectionAgeMs: number;
};

/** What the workers of one proxy count together. */
export type AdmissionMemory = {
  readonly sources: SharedArrayBuffer;
  readonly acceptRate: SharedArrayBuffer;
};

/** Memory for these limits, with nobody counted; `seed` is any 32-bit number. */
export function createAdmissionMemory(limits: AdmissionLimits, seed: number): AdmissionMemory {
  const sources = SourceCounts.createMemory(limits.maxConnections, seed);
  return { sources, acceptRate: AcceptRate.createMemory() };
}

/** Why a client is turned away. */
export type Refusal = 'forbidden' | 'limit' | 'sourceLimit' | 'reserved';

/** The last sixteenth of the places is for sources with few connections, such as kubelets and the other nodes. */
const RESERVED_PART = 1 / 16;
/** A source with fewer connections than this gets one of the reserved places. */
export const FEW_CONNECTIONS = 32;

/** Verdicts about sources are remembered, as a few clients connect again and again. Bounded: then it starts anew. */
const MAX_REMEMBERED = 1024;

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #perSource: SourceCounts;
  readonly #allowed = new Map<string, boolean>();

  constructor(limits: AdmissionLimits, memory: AdmissionMemory) {
    this.#limits = limits;
    this.#perSource = new SourceCounts(memory.sources);
  }

  /** Null admits the client, who counts until `left`. `clients` is how many there are without it. */
  admit(source: string, clients: number): Refusal | null {
    const { maxConnections, maxConnectionsPerSource, allowedSources } = this.#limits;
    if (allowedSources.length > 0 && !this.#isAllowed(source)) return 'forbidden';
    if (clients >= maxConnections) return 'limit';
    const ownLimit = maxConnectionsPerSource === 0 ? Infinity : maxConnectionsPerSource;
    const isReserved = clients >= maxConnections - Math.floor(maxConnections * RESERVED_PART);
    if (this.#perSource.take(source, isReserved ? Math.min(ownLimit, FEW_CONNECTIONS) : ownLimit))
      return null;
    return isReserved && ownLimit > FEW_CONNECTIONS ? 'reserved' : 'sourceLimit';
  }

  /** An admitted client has left. */
  left(source: string): void {
    this.#perSource.give(source);
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
