/** The part of the receive ladder that needs to know the configuration (RFC 9568 7.1, RFC 3768 7.1). Pure. */
import type { IpAddress } from '../ip/address.ts';
import {
  type Advertisement,
  type Authentication,
  type DecodeReason,
  type Envelope,
  type VrrpVersion,
  decodeAdvertisement,
} from './advertisement.ts';
import type { ChecksumForm } from './checksum.ts';
import { isIntervalOf } from './intervals.ts';
import type { HealthClass } from '../node/health-class.ts';
import { classOfPriority } from './priority.ts';

export type ReceiveOptions = {
  readonly vrid: number;
  readonly version: VrrpVersion;
  readonly advertisementIntervalMs: number;
  readonly addresses: readonly IpAddress[];
  /** What this node advertises in each class of its health; left out, priorities are not compared. */
  readonly priorities?: Readonly<Record<HealthClass, number>>;
  readonly authentication: Authentication;
  /** The address that this node sends from; null before it has one. */
  readonly self: string | null;
  /** Who may advertise; null: anybody on the link. */
  readonly allowedSources: ReadonlySet<string> | null;
};

/** Every reason for which a packet is dropped; also the label of its counter. */
export type RejectReason =
  | DecodeReason
  | 'own_address'
  | 'source_not_in_peers'
  | 'other_vrid'
  | 'other_version'
  | 'authentication'
  | 'interval_mismatch'
  | 'other_addresses';

/** Every reject reason, so that each counter exists before its first packet. */
export const REJECT_REASONS: readonly RejectReason[] = [
  'ttl',
  'truncated',
  'version',
  'type',
  'vrid_zero',
  'address_count',
  'length',
  'interval',
  'authentication_type',
  'checksum',
  'own_address',
  'source_not_in_peers',
  'other_vrid',
  'other_version',
  'authentication',
  'interval_mismatch',
  'other_addresses',
];

/**
 * What an accepted packet says that its sender and this node should not differ in. In `priority` they should: two nodes
 * of one priority take over in the same moment.
 */
export const MISMATCHES = ['interval', 'addresses', 'priority'] as const;
export type Mismatch = (typeof MISMATCHES)[number];

export type ReceiveResult =
  | {
      readonly ok: true;
      readonly advertisement: Advertisement;
      readonly checksumForm: ChecksumForm;
      readonly mismatches: readonly Mismatch[];
    }
  | { readonly ok: false; readonly reason: RejectReason };

const NO_MISMATCH: readonly Mismatch[] = [];

/** Decodes one message and climbs the whole ladder: the advertisement to act on, or why the packet is dropped. */
export function receiveAdvertisement(
  message: Uint8Array,
  envelope: Envelope,
  options: ReceiveOptions,
): ReceiveResult {
  const decoded = decodeAdvertisement(message, envelope);
  if (!decoded.ok) return decoded;
  const { advertisement } = decoded;
  const reason = objection(advertisement, envelope, options);
  if (reason !== null) return { ok: false, reason };
  return { ...decoded, mismatches: findMismatches(advertisement, options) };
}

function objection(
  advertisement: Advertisement,
  envelope: Envelope,
  options: ReceiveOptions,
): RejectReason | null {
  if (advertisement.vrid !== options.vrid) return 'other_vrid';
  if (envelope.source.text === options.self) return 'own_address';
  if (options.allowedSources !== null && !options.allowedSources.has(envelope.source.text)) {
    return 'source_not_in_peers';
  }
  if (advertisement.version !== options.version) return 'other_version';
  if (!sameAuthentication(advertisement.authentication, options.authentication)) return 'authentication';
  // RFC 3768 7.1 discards on another interval; RFC 9568 7.1 only reports it, and the Backup adopts the Active's.
  if (options.version === 2 && !isIntervalOf(options, advertisement.advertisementIntervalMs)) {
    return 'interval_mismatch';
  }
  if (isOfAnotherGroup(advertisement, options)) return 'other_addresses';
  return null;
}

/**
 * Another group that happens to use the same VRID. RFC 3768 7.1 has its packets dropped, but for an owner's; RFC 9568
 * 7.1 asks for a log entry and leaves the rest open. Were it believed, its Active would keep everybody here from taking
 * the VIP, and nobody would have it. A list that has the VIP among others is the same group, configured differently.
 */
function isOfAnotherGroup({ addresses }: Advertisement, options: ReceiveOptions): boolean {
  return !options.addresses.some(({ text }) => addresses.some((address) => address.text === text));
}

function sameAuthentication(a: Authentication, b: Authentication): boolean {
  if (a.type === 'pass' && b.type === 'pass') return a.password === b.password;
  return a.type === b.type;
}

function findMismatches(advertisement: Advertisement, options: ReceiveOptions): readonly Mismatch[] {
  const sameInterval = isIntervalOf(options, advertisement.advertisementIntervalMs);
  const sameAddresses =
    advertisement.addresses.length === options.addresses.length &&
    advertisement.addresses.every((address, index) => address.text === options.addresses[index]?.text);
  const samePriority =
    options.priorities?.[classOfPriority(advertisement.priority)] === advertisement.priority;
  if (sameInterval && sameAddresses && !samePriority) return NO_MISMATCH;
  const differs = { interval: !sameInterval, addresses: !sameAddresses, priority: samePriority };
  return MISMATCHES.filter((mismatch) => differs[mismatch]);
}
