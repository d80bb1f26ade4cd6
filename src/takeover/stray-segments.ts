/**
 * Which segments to the service a new holder has to hand on to the one that has just handed over to it: those of
 * connections that did not begin here. Pure.
 */
import { type ClientSegment, isFirst } from './segment.ts';
import type { ClientKey } from './tuple.ts';

/** More connections than begin in the moment that this is for. */
const MAX_OWN = 65_536;

export class StraySegments {
  readonly #own = new Set<ClientKey>();
  #handedOnCount = 0;

  get handedOn(): number {
    return this.#handedOnCount;
  }

  /** Takes note of a segment that has arrived here; true when it is the other one's. */
  isStray(segment: ClientSegment): boolean {
    if (isFirst(segment) && this.#own.size < MAX_OWN) this.#own.add(segment.client);
    if (isFirst(segment) || this.#own.has(segment.client)) return false;
    this.#handedOnCount += 1;
    return true;
  }
}
