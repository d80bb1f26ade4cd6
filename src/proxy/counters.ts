/**
 * Counters of the proxy in shared memory: written by the proxy workers with Atomics, read by the services thread.
 * All workers write to the same cells, so a gauge is the sum over workers without anybody asking them.
 *
 * Layout, in octets (BACKENDS = 64):
 * ```
 *    0  Int32     clients now
 *    4  Int32[64] connections now, per backend
 *  260  Int32     listeners now
 *  264  BigInt64[]       totals, in the order of TOTALS, then of ENDINGS
 *       BigInt64[64][4]  per backend, in the order of BACKEND_TOTALS
 *       Float64[64]      start of the latest attempt to connect that failed, per backend, monotonicMs
 *       Float64[64]      start of the latest good health check, per backend, monotonicMs
 * ```
 */

import { type Ending, ENDINGS } from './endings.ts';

/** More backends than any control plane has; the counters are sized for it once. */
export const MAX_BACKENDS = 64;

const TOTALS = [
  'accepted',
  'overLimit',
  'overSourceLimit',
  'forbidden',
  'rateLimited',
  'acceptErrors',
  'pipeShortages',
] as const;
const BACKEND_TOTALS = ['connections', 'connectFailures', 'bytesToBackend', 'bytesToClient'] as const;

/** What is counted for the proxy as a whole; see ProxyCounts. */
export type ProxyTotal = (typeof TOTALS)[number];
/** What is counted for each backend; see BackendCounts. */
export type BackendTotal = (typeof BACKEND_TOTALS)[number];

const LISTENERS = 1 + MAX_BACKENDS;
const GAUGES = LISTENERS + 1;
const TOTALS_OFFSET_BYTES = Math.ceil((GAUGES * 4) / 8) * 8;
const COMMON_TOTALS = TOTALS.length + ENDINGS.length;
const TOTALS_COUNT = COMMON_TOTALS + MAX_BACKENDS * BACKEND_TOTALS.length;
const TIMES_OFFSET_BYTES = TOTALS_OFFSET_BYTES + TOTALS_COUNT * 8;
const BUFFER_BYTES = TIMES_OFFSET_BYTES + 2 * MAX_BACKENDS * 8;

export type BackendCounts = {
  /** Connections now, those being opened included. */
  readonly connections: number;
  /** Connections opened since the start. */
  readonly connectionsTotal: number;
  /** Attempts that were refused, timed out or failed otherwise. */
  readonly connectFailures: number;
  readonly bytesToBackend: number;
  readonly bytesToClient: number;
};

export type ProxyCounts = {
  /** Clients now, those whose backend is being connected included. */
  readonly clients: number;
  /** Threads whose listener takes clients in now. */
  readonly listeners: number;
  readonly accepted: number;
  /** Closed at once because the limit on clients was reached. */
  readonly overLimit: number;
  /** Closed at once because their address has as many connections as one may have. */
  readonly overSourceLimit: number;
  /** Closed at once because their address is in none of the allowed networks. */
  readonly forbidden: number;
  /** How often accepting paused because clients came faster than they may. */
  readonly rateLimited: number;
  /** Failures of accept() itself, such as EMFILE. */
  readonly acceptErrors: number;
  /** How often the kernel granted no pipe of full size. */
  readonly pipeShortages: number;
  /** Of clients that were let in, by reason. */
  readonly endings: Readonly<Record<Ending, number>>;
  /** In the order of the backends in ProxyWorkerData. */
  readonly backends: readonly BackendCounts[];
};

/** Memory for one proxy's counters, all zero; shared by all its workers and the reader. */
export function createProxyCounters(): SharedArrayBuffer {
  return new SharedArrayBuffer(BUFFER_BYTES);
}

/** A view of the counters. Connection counts are exact at all times; bytes are added about once a second. */
export class ProxyCounters {
  readonly #gauges: Int32Array;
  readonly #totals: BigInt64Array;
  /** One cell is written as a whole on 64-bit machines, and it does not matter whose time wins. */
  readonly #failedAtMs: Float64Array;
  readonly #goodAtMs: Float64Array;

  /** Throws a RangeError when `buffer` was not made by `createProxyCounters`. */
  constructor(buffer: SharedArrayBuffer) {
    if (buffer.byteLength !== BUFFER_BYTES) {
      throw new RangeError(`proxy counters take ${BUFFER_BYTES} bytes, this buffer has ${buffer.byteLength}`);
    }
    this.#gauges = new Int32Array(buffer, 0, GAUGES);
    this.#totals = new BigInt64Array(buffer, TOTALS_OFFSET_BYTES, TOTALS_COUNT);
    this.#failedAtMs = new Float64Array(buffer, TIMES_OFFSET_BYTES, MAX_BACKENDS);
    this.#goodAtMs = new Float64Array(buffer, TIMES_OFFSET_BYTES + MAX_BACKENDS * 8, MAX_BACKENDS);
  }

  /** Clients now. */
  clients(): number {
    return Atomics.load(this.#gauges, 0);
  }

  /** Adds to the clients now; returns how many there were before. */
  addClients(delta: number): number {
    return Atomics.add(this.#gauges, 0, delta);
  }

  /** Threads whose listener takes clients in now. */
  get listeners(): number {
    return Atomics.load(this.#gauges, LISTENERS);
  }

  /** A thread's listener takes clients in from now on (1), or does so no longer (-1). */
  addListeners(delta: 1 | -1): void {
    Atomics.add(this.#gauges, LISTENERS, delta);
  }

  /** Connections of one backend now, over all workers. */
  connections(index: number): number {
    return Atomics.load(this.#gauges, 1 + backendIndex(index));
  }

  addConnections(index: number, delta: number): void {
    Atomics.add(this.#gauges, 1 + backendIndex(index), delta);
  }

  add(total: ProxyTotal, amount = 1): void {
    Atomics.add(this.#totals, TOTALS.indexOf(total), BigInt(amount));
  }

  /** The connection of a client that was let in has ended. */
  addEnding(ending: Ending): void {
    Atomics.add(this.#totals, endingCell(ending), 1n);
  }

  addBackend(index: number, total: BackendTotal, amount = 1): void {
    Atomics.add(this.#totals, backendCell(index, total), BigInt(amount));
  }

  /** A client's attempt to connect, begun at `atMs`, was refused or got no answer. All workers learn it at once. */
  suspect(index: number, atMs: number): void {
    this.#failedAtMs[backendIndex(index)] = atMs;
  }

  /** A health check that began at `atMs` was good, or a client was connected. */
  prove(index: number, atMs: number): void {
    this.#goodAtMs[backendIndex(index)] = atMs;
  }

  /** True after a failed attempt, until a good check or connection that began later. */
  isSuspect(index: number): boolean {
    return (this.#failedAtMs[index] ?? 0) > (this.#goodAtMs[index] ?? 0);
  }

  /** All counters as numbers, of the first `backendCount` backends. Cells are read one by one, not as one snapshot. */
  read(backendCount: number): ProxyCounts {
    const total = (name: ProxyTotal): number => Number(Atomics.load(this.#totals, TOTALS.indexOf(name)));
    return {
      clients: this.clients(),
      listeners: this.listeners,
      accepted: total('accepted'),
      overLimit: total('overLimit'),
      overSourceLimit: total('overSourceLimit'),
      forbidden: total('forbidden'),
      rateLimited: total('rateLimited'),
      acceptErrors: total('acceptErrors'),
      pipeShortages: total('pipeShortages'),
      endings: Object.fromEntries(
        ENDINGS.map((ending) => [ending, Number(Atomics.load(this.#totals, endingCell(ending)))]),
      ) as Record<Ending, number>,
      backends: Array.from({ length: backendCount }, (_, index) => this.#readBackend(index)),
    };
  }

  #readBackend(index: number): BackendCounts {
    const total = (name: BackendTotal): number =>
      Number(Atomics.load(this.#totals, backendCell(index, name)));
    return {
      connections: this.connections(index),
      connectionsTotal: total('connections'),
      connectFailures: total('connectFailures'),
      bytesToBackend: total('bytesToBackend'),
      bytesToClient: total('bytesToClient'),
    };
  }
}

function endingCell(ending: Ending): number {
  return TOTALS.length + ENDINGS.indexOf(ending);
}

function backendCell(index: number, total: BackendTotal): number {
  return COMMON_TOTALS + backendIndex(index) * BACKEND_TOTALS.length + BACKEND_TOTALS.indexOf(total);
}

function backendIndex(index: number): number {
  if (!Number.isInteger(index) || index < 0 || index >= MAX_BACKENDS) {
    throw new RangeError(`backend index ${index} is not in 0-${MAX_BACKENDS - 1}`);
  }
  return index;
}
