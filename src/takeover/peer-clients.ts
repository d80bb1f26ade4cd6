/**
 * What this node knows of the clients that its peers serve. A lost message costs a client some seconds, never a reset.
 * Pure.
 */
import type { Family } from '../ip/address.ts';
import type { ClientsMessage } from './message.ts';
import type { ClientKey } from './tuple.ts';

/** More clients than one proxy takes. */
const MAX_CLIENTS_PER_TABLE = 65_536;
/**
 * Of those, clients that no second sweep has repeated: enough for all that come back to a new holder at once, and a
 * bound to what can be invented in a peer's name.
 */
const MAX_UNCONFIRMED = 16_384;
/** A client that was not repeated in so many whole sweeps is gone, and the word of its end was lost. */
const MISSED_SWEEPS = 2;
/** Sweeps of clients are 10 s apart (client-share.ts). Those that follow each other faster confirm nothing. */
const CONFIRMING_MS = 5000;
/** What a peer says now, and what it said before its restart, or what somebody says in its name. */
const MAX_GENERATIONS = 2;
/**
 * A generation that is silent for longer has ended. A peer with clients speaks every 10 s; one that has restarted
 * without clients speaks for 20 s.
 */
const SILENT_MS = 15_000;
/** Beside the number of the sweep that told of a client last: an earlier sweep had told of it as well. */
const CONFIRMED = 0x100;
const SWEEP_MASK = 0xff;

/** What one peer has said since one of its starts. */
type ClientTable = {
  readonly generation: number;
  sequence: number;
  sweep: number;
  sweepStartedMs: number;
  /** Whether the sweep under way began long enough after the one before. */
  isConfirming: boolean;
  heardMs: number;
  unconfirmed: number;
  /** With the sweep that last told of it, and CONFIRMED, in the order in which they were first told of. */
  readonly clients: Map<ClientKey, number>;
};

export class PeerClients {
  /** By family and peer, the older generation first. */
  readonly #tables = new Map<string, ClientTable[]>();
  #lostMessages = 0;

  /** How many messages of peers did not arrive, seen from gaps in their sequence. */
  get lost(): number {
    return this.#lostMessages;
  }

  get size(): number {
    let size = 0;
    for (const { clients } of this.#allTables()) size += clients.size;
    return size;
  }

  /**
   * Takes a message in; false when it is older than one that was taken in before, or of a third generation. `peer` must
   * be one of few.
   */
  accept(peer: string, message: ClientsMessage, nowMs: number): boolean {
    const table = this.#tableOf(peer, message, nowMs);
    if (table === null) return false;
    const ahead = (message.sequence - table.sequence) | 0;
    if (ahead <= 0) return false;
    this.#lostMessages += ahead - 1;
    table.sequence = message.sequence;
    table.heardMs = nowMs;
    const isNewSweep = message.sweep !== table.sweep;
    if (isNewSweep) beginSweep(table, message.sweep, nowMs);
    for (const key of message.opened) tell(table, key);
    for (const key of message.closed) remove(table, key);
    if (isNewSweep) {
      removeUnrepeated(table);
      this.#endSilentGenerations(`${message.family} ${peer}`, nowMs);
    }
    return true;
  }

  /** A client has come to this node: no other node serves it now. */
  forget(key: ClientKey): void {
    for (const table of this.#allTables()) remove(table, key);
  }

  /** All clients of one family that are wanted, those first that were told of last, and forgets them. */
  take(family: Family, isWanted: (key: ClientKey) => boolean = () => true): ClientKey[] {
    const taken = new Set<ClientKey>();
    for (const [id, tables] of this.#tables) {
      if (!id.startsWith(family)) continue;
      for (const table of tables) {
        for (const key of [...table.clients.keys()].toReversed().filter(isWanted)) {
          taken.add(key);
          remove(table, key);
        }
      }
    }
    return [...taken];
  }

  *#allTables(): Generator<ClientTable> {
    for (const tables of this.#tables.values()) yield* tables;
  }

  /**
   * Another generation does not touch what an earlier one has said: a single forged datagram would void it. Null for a
   * third generation while two are being heard.
   */
  #tableOf(peer: string, message: ClientsMessage, nowMs: number): ClientTable | null {
    const id = `${message.family} ${peer}`;
    let tables = this.#tables.get(id) ?? [];
    const known = tables.find(({ generation }) => generation === message.generation);
    if (known !== undefined) return known;
    if (tables.length === MAX_GENERATIONS) {
      const silent = tables.find(({ heardMs }) => nowMs - heardMs > SILENT_MS);
      if (silent === undefined) return null;
      tables = tables.filter((table) => table !== silent);
    }
    const table: ClientTable = {
      generation: message.generation,
      sequence: (message.sequence - 1) | 0,
      sweep: message.sweep,
      sweepStartedMs: nowMs,
      isConfirming: false,
      heardMs: nowMs,
      unconfirmed: 0,
      clients: new Map(),
    };
    this.#tables.set(id, [...tables, table]);
    return table;
  }

  /** To be called when a generation has completed a sweep: it has replaced what was said before a restart. */
  #endSilentGenerations(id: string, nowMs: number): void {
    const tables = this.#tables.get(id) ?? [];
    const heard = tables.filter(({ heardMs }) => nowMs - heardMs <= SILENT_MS);
    if (heard.length < tables.length) this.#tables.set(id, heard);
  }
}

function beginSweep(table: ClientTable, sweep: number, nowMs: number): void {
  table.isConfirming = nowMs - table.sweepStartedMs >= CONFIRMING_MS;
  table.sweep = sweep;
  table.sweepStartedMs = nowMs;
}

function tell(table: ClientTable, key: ClientKey): void {
  const { clients, sweep, isConfirming } = table;
  const told = clients.get(key);
  if (told === undefined) {
    if (clients.size >= MAX_CLIENTS_PER_TABLE || table.unconfirmed >= MAX_UNCONFIRMED) return;
    table.unconfirmed += 1;
    clients.set(key, sweep);
    return;
  }
  const wasConfirmed = (told & CONFIRMED) !== 0;
  const isRepeated = isConfirming && (told & SWEEP_MASK) !== sweep;
  if (isRepeated && !wasConfirmed) table.unconfirmed -= 1;
  clients.set(key, sweep | (wasConfirmed || isRepeated ? CONFIRMED : 0));
}

function remove(table: ClientTable, key: ClientKey): void {
  const told = table.clients.get(key);
  if (told === undefined) return;
  if ((told & CONFIRMED) === 0) table.unconfirmed -= 1;
  table.clients.delete(key);
}

function removeUnrepeated(table: ClientTable): void {
  for (const [key, told] of table.clients) {
    if (((table.sweep - told) & SWEEP_MASK) > MISSED_SWEEPS) remove(table, key);
  }
}
