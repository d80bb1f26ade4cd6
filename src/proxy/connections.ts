/** Which connections there are: what a proxy worker reports, in batches, and the table that is made of it. Pure. */

import type { Ending } from './endings.ts';

/** A client whose backend has accepted. Addresses are as the socket has them: `::ffff:192.0.2.1`, `fe80::1%eth0`. */
export type OpenedConnection = {
  /** Of the worker; never used twice. */
  readonly id: number;
  readonly client: string;
  readonly clientPort: number;
  /** The address that the client connected to: a VIP or one of the node's own. */
  readonly local: string;
  readonly backend: string;
  /** Monotonic. */
  readonly openedAtMs: number;
};

export type ClosedConnection = {
  readonly id: number;
  readonly ending: Ending;
  readonly bytesToBackend: number;
  readonly bytesToClient: number;
};

/** An open connection at one moment. */
export type ConnectionDetail = OpenedConnection & {
  readonly bytesToBackend: number;
  readonly bytesToClient: number;
  /** Who has sent FIN, and may still receive; `open`: neither. */
  readonly state: 'open' | 'client finished' | 'backend finished';
  /** Since the latest byte, or the opening. */
  readonly idleMs: number;
};

/** What changed since the worker's batch before; with `complete`, `opened` is instead all there is. */
export type ConnectionBatch = {
  readonly complete: boolean;
  readonly opened: readonly OpenedConnection[];
  readonly closed: readonly ClosedConnection[];
};

/** Beyond so many changes that wait, a list of what is there is the shorter message. */
const MAX_WAITING = 8192;

/**
 * What one worker has to report. Memory is bounded by its connections and MAX_WAITING changes, however long nobody
 * takes a batch. `Key` is whatever the engine calls a connection.
 */
export class ConnectionReport<Key> {
  readonly #open = new Map<Key, OpenedConnection>();
  #opened: OpenedConnection[] = [];
  #closedOnes: ClosedConnection[] = [];
  #overflowed = false;
  #lastId = 0;

  opens(key: Key, connection: Omit<OpenedConnection, 'id'>): void {
    this.#lastId += 1;
    const opened = { id: this.#lastId, ...connection };
    this.#open.set(key, opened);
    this.#opened.push(opened);
    this.#bound();
  }

  /** Nothing happens for a connection that never opened. */
  closes(key: Key, ended: Omit<ClosedConnection, 'id'>): void {
    const connection = this.#open.get(key);
    if (connection === undefined) return;
    this.#open.delete(key);
    this.#closedOnes.push({ id: connection.id, ...ended });
    this.#bound();
  }

  /** The open connections, oldest first. May be read bit by bit while connections come and go. */
  entries(): IterableIterator<[Key, OpenedConnection]> {
    return this.#open.entries();
  }

  /** What there is to report, which counts as reported from now on; null when nothing changed. */
  take(): ConnectionBatch | null {
    const opened = this.#opened;
    const closed = this.#closedOnes;
    const overflowed = this.#overflowed;
    if (!overflowed && opened.length === 0 && closed.length === 0) return null;
    this.#opened = [];
    this.#closedOnes = [];
    this.#overflowed = false;
    if (overflowed) return { complete: true, opened: [...this.#open.values()], closed: [] };
    return { complete: false, opened, closed };
  }

  #bound(): void {
    if (!this.#overflowed && this.#opened.length + this.#closedOnes.length <= MAX_WAITING) return;
    this.#overflowed = true;
    this.#opened = [];
    this.#closedOnes = [];
  }
}

/** A change of the table, as told to whoever follows it. */
export type ConnectionFollower = {
  readonly opened: (connection: OpenedConnection) => void;
  /** `closed` is null when the worker lost count of what the connection carried. */
  readonly closed: (connection: OpenedConnection, closed: ClosedConnection | null) => void;
};

/** The connections of all workers, kept apart from the threads that carry them. */
export class ConnectionTable {
  readonly #byWorker = new Map<number, Map<number, OpenedConnection>>();
  readonly #follower: ConnectionFollower;

  constructor(follower: ConnectionFollower) {
    this.#follower = follower;
  }

  apply(worker: number, batch: ConnectionBatch): void {
    const known = this.#byWorker.get(worker) ?? new Map<number, OpenedConnection>();
    this.#byWorker.set(worker, known);
    if (batch.complete) this.#forgetMissing(known, batch.opened);
    // Ends come before what began later: a client may have used its port again within the batch.
    const ends = new Map(batch.closed.map((closed) => [closed.id, closed]));
    for (const id of ends.keys()) this.#end(known, ends, id);
    for (const connection of batch.opened) {
      if (known.has(connection.id)) continue;
      known.set(connection.id, connection);
      this.#follower.opened(connection);
      this.#end(known, ends, connection.id);
    }
  }

  #end(known: Map<number, OpenedConnection>, ends: ReadonlyMap<number, ClosedConnection>, id: number): void {
    const connection = known.get(id);
    const closed = ends.get(id);
    if (connection === undefined || closed === undefined) return;
    known.delete(id);
    this.#follower.closed(connection, closed);
  }

  #forgetMissing(known: Map<number, OpenedConnection>, all: readonly OpenedConnection[]): void {
    const present = new Set(all.map(({ id }) => id));
    for (const [id, connection] of known) {
      if (present.has(id)) continue;
      known.delete(id);
      this.#follower.closed(connection, null);
    }
  }
}
