/**
 * What this node knows of the clients that its peers serve. A lost message costs a client some seconds, never a reset.
 * Pure.
 */
import type { Family } from '../ip/address.ts';
import type { ClientsMessage } from './message.ts';
import type { ClientKey } from './tuple.ts';

/** More clients than one proxy takes. */
const MAX_CLIENTS_PER_PEER = 65_536;
/** A client that was not repeated in so many whole sweeps is gone, and the word of its end was lost. */
const MISSED_SWEEPS = 2;

type PeerTable = {
  readonly generation: number;
  sequence: number;
  sweep: number;
  /** With the sweep that last told of it, in the order in which they were first told of. */
  readonly sweepByClient: Map<ClientKey, number>;
};

export class PeerClients {
  readonly #tables = new Map<string, PeerTable>();
  #lostMessages = 0;

  /** How many messages of peers did not arrive, seen from gaps in their sequence. */
  get lost(): number {
    return this.#lostMessages;
  }

  get size(): number {
    let size = 0;
    for (const { sweepByClient } of this.#tables.values()) size += sweepByClient.size;
    return size;
  }

  /** Takes a message in; false when it is older than one that was taken in before. `peer` must be one of few. */
  accept(peer: string, message: ClientsMessage): boolean {
    const table = this.#tableOf(peer, message);
    const ahead = (message.sequence - table.sequence) | 0;
    if (ahead <= 0) return false;
    this.#lostMessages += ahead - 1;
    table.sequence = message.sequence;
    for (const key of message.opened) {
      if (table.sweepByClient.size < MAX_CLIENTS_PER_PEER || table.sweepByClient.has(key))
        table.sweepByClient.set(key, message.sweep);
    }
    for (const key of message.closed) table.sweepByClient.delete(key);
    if (message.sweep !== table.sweep) this.#onSweep(table, message.sweep);
    return true;
  }

  /** A client has come to this node: whoever served it before, does not any more. */
  forget(key: ClientKey): void {
    for (const { sweepByClient } of this.#tables.values()) sweepByClient.delete(key);
  }

  /** All clients of one family that are wanted, those first that were told of last, and forgets them. */
  take(family: Family, isWanted: (key: ClientKey) => boolean = () => true): ClientKey[] {
    const taken = new Set<ClientKey>();
    for (const [id, { sweepByClient }] of this.#tables) {
      if (!id.startsWith(family)) continue;
      for (const key of [...sweepByClient.keys()].toReversed().filter(isWanted)) {
        taken.add(key);
        sweepByClient.delete(key);
      }
    }
    return [...taken];
  }

  #tableOf(peer: string, { family, generation, sequence, sweep }: ClientsMessage): PeerTable {
    const id = `${family} ${peer}`;
    const known = this.#tables.get(id);
    if (known !== undefined && known.generation === generation) return known;
    const table = {
      generation,
      sequence: (sequence - 1) | 0,
      sweep,
      sweepByClient: new Map<string, number>(),
    };
    this.#tables.set(id, table);
    return table;
  }

  #onSweep(table: PeerTable, sweep: number): void {
    table.sweep = sweep;
    for (const [key, told] of table.sweepByClient) {
      if (((sweep - told) & 0xff) > MISSED_SWEEPS) table.sweepByClient.delete(key);
    }
  }
}
