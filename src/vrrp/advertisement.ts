/** The VRRP packet, versions 2 (RFC 3768 5.3) and 3 (RFC 9568 5.2), between octets and values. Pure. */
import { type Family, type IpAddress, ipFromOctets } from '../ip/address.ts';
import { readU16, writeU16 } from '../wire/octets.ts';
import { CHECKSUM_AT, type ChecksumForm, vrrpChecksum } from './checksum.ts';
import { VRRP_HOP_LIMIT } from './ip-header.ts';

export type VrrpVersion = 2 | 3;

/** Version 2 authentication (RFC 2338 5.3.6, kept by keepalived): none, or a clear-text password of up to 8 octets. */
export type Authentication = { readonly type: 'none' } | { readonly type: 'pass'; readonly password: string };

export type Advertisement = {
  readonly version: VrrpVersion;
  /** 1-255 */
  readonly vrid: number;
  /** 0-255; 0 means that the Active gives up, 255 that it owns the address */
  readonly priority: number;
  /** version 3: 10-40,950 in steps of 10; version 2: 1,000-255,000 in steps of 1,000 */
  readonly advertisementIntervalMs: number;
  /** 1-255 addresses of one family, in the sender's order */
  readonly addresses: readonly IpAddress[];
  /** version 3 has none */
  readonly authentication: Authentication;
};

/** What the IP header said about a VRRP packet. */
export type Envelope = {
  readonly family: Family;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** IPv4 TTL or IPv6 hop limit, 0-255 */
  readonly ttl: number;
};

/** Why a packet was rejected, in the order of the receive ladder; also the label of its counter. */
export type DecodeReason =
  | 'ttl'
  | 'truncated'
  | 'version'
  | 'type'
  | 'vrid_zero'
  | 'address_count'
  | 'length'
  | 'interval'
  | 'authentication_type'
  | 'checksum';

export type DecodeResult =
  | { readonly ok: true; readonly advertisement: Advertisement; readonly checksumForm: ChecksumForm }
  | { readonly ok: false; readonly reason: DecodeReason };

/*
 * Version 3 (RFC 9568 5.2)                         Version 2 (RFC 3768 5.3)
 *  0 version(4) | type(4)                           0 version(4) | type(4)
 *  1 VRID                                           1 VRID
 *  2 priority                                       2 priority
 *  3 address count                                  3 address count
 *  4 reserved(4) | Max Advertise Interval(12), cs   4 authentication type   5 interval, s
 *  6 checksum                                       6 checksum
 *  8 addresses                                      8 addresses, then 8 octets of authentication data
 */
const HEADER_BYTES = 8;
const V2_AUTHENTICATION_BYTES = 8;
const TYPE_ADVERTISEMENT = 1;
const MS_PER_CENTISECOND = 10;
const MS_PER_SECOND = 1000;
const V2_AUTHENTICATION_NONE = 0;
const V2_AUTHENTICATION_PASS = 1;

const octetsPerAddress = (family: Family): number => (family === 'IPv4' ? 4 : 16);

const messageBytes = (version: VrrpVersion, family: Family, addressCount: number): number =>
  HEADER_BYTES + addressCount * octetsPerAddress(family) + (version === 2 ? V2_AUTHENTICATION_BYTES : 0);

/**
 * Decodes and verifies one received VRRP message (RFC 9568 7.1 up to and including the checksum; RFC 3768 7.1).
 * Never throws: whatever the octets, the answer is an advertisement or the first reason against it. For IPv4 version 3
 * both checksum forms are accepted, and the answer says which one matched.
 */
export function decodeAdvertisement(message: Uint8Array, envelope: Envelope): DecodeResult {
  const reason = firstObjection(message, envelope);
  if (reason !== null) return { ok: false, reason };
  const checksumForm = matchChecksum(message, envelope);
  if (checksumForm === null) return { ok: false, reason: 'checksum' };

  const octet = (index: number): number => message[index] ?? 0;
  const version: VrrpVersion = octet(0) >> 4 === 2 ? 2 : 3;
  const size = octetsPerAddress(envelope.family);
  const addresses = Array.from({ length: octet(3) }, (_, index) =>
    ipFromOctets(message.subarray(HEADER_BYTES + index * size, HEADER_BYTES + (index + 1) * size)),
  );
  const advertisement: Advertisement = {
    version,
    vrid: octet(1),
    priority: octet(2),
    advertisementIntervalMs: decodeIntervalMs(message, version),
    addresses,
    authentication: version === 2 ? decodeAuthentication(message) : { type: 'none' },
  };
  return { ok: true, advertisement, checksumForm };
}

/** The rungs of the ladder before the checksum. */
function firstObjection(message: Uint8Array, envelope: Envelope): DecodeReason | null {
  if (envelope.ttl !== VRRP_HOP_LIMIT) return 'ttl';
  const [versionAndType, vrid, , addressCount, authenticationType] = message;
  if (message.length < HEADER_BYTES || versionAndType === undefined || addressCount === undefined) {
    return 'truncated';
  }
  const version = versionAndType >> 4;
  // Version 2 knows no IPv6 (RFC 3768 is IPv4 only).
  if (version !== 3 && !(version === 2 && envelope.family === 'IPv4')) return 'version';
  if ((versionAndType & 0x0f) !== TYPE_ADVERTISEMENT) return 'type';
  if (vrid === 0) return 'vrid_zero';
  if (addressCount === 0) return 'address_count';
  const expectedBytes = messageBytes(version, envelope.family, addressCount);
  if (message.length < expectedBytes) return 'truncated';
  if (message.length > expectedBytes) return 'length';
  if (decodeIntervalMs(message, version) === 0) return 'interval';
  const knownType =
    authenticationType === V2_AUTHENTICATION_NONE || authenticationType === V2_AUTHENTICATION_PASS;
  if (version === 2 && !knownType) return 'authentication_type';
  return null;
}

function decodeIntervalMs(message: Uint8Array, version: VrrpVersion): number {
  const high = message[4] ?? 0;
  const low = message[5] ?? 0;
  return version === 2 ? low * MS_PER_SECOND : (((high & 0x0f) << 8) | low) * MS_PER_CENTISECOND;
}

function decodeAuthentication(message: Uint8Array): Authentication {
  if (message[4] === V2_AUTHENTICATION_NONE) return { type: 'none' };
  const data = message.subarray(message.length - V2_AUTHENTICATION_BYTES);
  const end = data.indexOf(0);
  return {
    type: 'pass',
    password: String.fromCodePoint(...data.subarray(0, end === -1 ? data.length : end)),
  };
}

function matchChecksum(message: Uint8Array, envelope: Envelope): ChecksumForm | null {
  const received = readU16(message, CHECKSUM_AT);
  const version = (message[0] ?? 0) >> 4;
  if (version === 3 && received === vrrpChecksum(message, envelope)) return 'pseudo-header';
  if (envelope.family === 'IPv4' && received === vrrpChecksum(message, null)) return 'message';
  return null;
}

/**
 * Encodes an advertisement as it leaves for `destination`. `checksumForm` matters for IPv4 version 3 only. An interval
 * outside the version's range or steps is rounded into them; a password is cut to 8 ASCII octets.
 */
export function encodeAdvertisement(
  advertisement: Advertisement,
  envelope: { readonly source: IpAddress; readonly destination: IpAddress },
  checksumForm: ChecksumForm,
): Uint8Array {
  const { version, addresses } = advertisement;
  const { family } = envelope.source;
  const message = new Uint8Array(messageBytes(version, family, addresses.length));
  message[0] = (version << 4) | TYPE_ADVERTISEMENT;
  message[1] = advertisement.vrid;
  message[2] = advertisement.priority;
  message[3] = addresses.length;
  encodeInterval(message, advertisement);
  addresses.forEach((address, index) =>
    message.set(address.octets, HEADER_BYTES + index * address.octets.length),
  );
  if (version === 2) encodeAuthentication(message, advertisement.authentication);
  const covered = version === 3 && (family === 'IPv6' || checksumForm === 'pseudo-header') ? envelope : null;
  writeU16(message, CHECKSUM_AT, vrrpChecksum(message, covered));
  return message;
}

function encodeInterval(message: Uint8Array, advertisement: Advertisement): void {
  if (advertisement.version === 2) {
    message[5] = Math.min(
      0xff,
      Math.max(1, Math.round(advertisement.advertisementIntervalMs / MS_PER_SECOND)),
    );
    return;
  }
  const centiseconds = Math.round(advertisement.advertisementIntervalMs / MS_PER_CENTISECOND);
  const bounded = Math.min(0xfff, Math.max(1, centiseconds));
  message[4] = bounded >> 8;
  message[5] = bounded & 0xff;
}

function encodeAuthentication(message: Uint8Array, authentication: Authentication): void {
  if (authentication.type === 'none') return;
  message[4] = V2_AUTHENTICATION_PASS;
  const start = message.length - V2_AUTHENTICATION_BYTES;
  for (let index = 0; index < V2_AUTHENTICATION_BYTES && index < authentication.password.length; index += 1) {
    message[start + index] = authentication.password.charCodeAt(index) & 0x7f;
  }
}
