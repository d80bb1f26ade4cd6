/** The advertisements that a router sends from one address, as octets: the same few, all day. Pure. */
import type { IpAddress } from '../ip/address.ts';
import { type Advertisement, encodeAdvertisement } from './advertisement.ts';
import type { ChecksumForm } from './checksum.ts';

export type OutgoingOptions = Omit<Advertisement, 'priority' | 'advertisementIntervalMs'> & {
  readonly checksumForm: ChecksumForm;
  readonly source: IpAddress;
  /** The multicast group, or each router of the group; `source` may be among them. */
  readonly destinations: readonly IpAddress[];
};

export class OutgoingAdvertisements {
  /** All but the router itself. */
  readonly destinations: readonly IpAddress[];
  readonly #options: OutgoingOptions;
  /** By priority, interval and destination. */
  readonly #encoded = new Map<string, Uint8Array>();

  constructor(options: OutgoingOptions) {
    this.#options = options;
    this.destinations = options.destinations.filter(({ text }) => text !== options.source.text);
  }

  /** The message to one of the destinations; not to be changed. */
  message(priority: number, advertisementIntervalMs: number, destination: IpAddress): Uint8Array {
    const key = `${priority} ${advertisementIntervalMs} ${destination.text}`;
    const known = this.#encoded.get(key);
    if (known !== undefined) return known;
    const { checksumForm, source, ...advertisement } = this.#options;
    const message = encodeAdvertisement(
      { ...advertisement, priority, advertisementIntervalMs },
      { source, destination },
      checksumForm,
    );
    this.#encoded.set(key, message);
    return message;
  }
}
