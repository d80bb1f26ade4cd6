/** IP addresses as values: parsed once at the edge, compared by octets, printed in canonical text. Pure. */
import ipaddr from 'ipaddr.js';

export type Family = 'IPv4' | 'IPv6';

/** An IPv4 or IPv6 address. `text` is canonical (RFC 5952 for IPv6), so equal addresses have equal text. */
export type IpAddress = {
  readonly family: Family;
  /** 4 or 16 octets in network byte order. */
  readonly octets: Uint8Array;
  readonly text: string;
};

/** The prefix length of a single address. */
export const HOST_PREFIX_BY_FAMILY: Readonly<Record<Family, number>> = { IPv4: 32, IPv6: 128 };

/** Makes an address from 4 or 16 octets, which are copied. Any other length is a programming error and throws. */
export function ipFromOctets(octets: Uint8Array): IpAddress {
  const parsed = ipaddr.fromByteArray([...octets]);
  return {
    family: parsed.kind() === 'ipv4' ? 'IPv4' : 'IPv6',
    octets: Uint8Array.from(octets),
    text: parsed.toString(),
  };
}

/** Parses dotted-quad IPv4 or any IPv6 text without a zone; null when it is neither. Never throws. */
export function parseIp(text: string): IpAddress | null {
  if (text.includes('%')) return null;
  if (!ipaddr.IPv4.isValidFourPartDecimal(text) && !ipaddr.IPv6.isValid(text)) return null;
  return ipFromOctets(Uint8Array.from(ipaddr.parse(text).toByteArray()));
}

/** Orders addresses of one family as unsigned integers in network byte order (RFC 9568 6.4.3). */
export function compareIp(a: IpAddress, b: IpAddress): -1 | 0 | 1 {
  for (let index = 0; index < a.octets.length; index += 1) {
    const difference = (a.octets[index] ?? 0) - (b.octets[index] ?? 0);
    if (difference !== 0) return difference < 0 ? -1 : 1;
  }
  return 0;
}

/** True when `address` lies in the network of `prefixAddress`/`prefixLength`; false across families. */
export function inPrefix(address: IpAddress, prefixAddress: IpAddress, prefixLength: number): boolean {
  if (address.family !== prefixAddress.family) return false;
  for (let bit = 0; bit < prefixLength; bit += 8) {
    const mask = prefixLength - bit >= 8 ? 0xff : (0xff << (8 - (prefixLength - bit))) & 0xff;
    const index = bit / 8;
    if (((address.octets[index] ?? 0) & mask) !== ((prefixAddress.octets[index] ?? 0) & mask)) return false;
  }
  return true;
}

export type ReservedPlace = 'network address' | 'broadcast address' | 'subnet-router anycast address';

/**
 * What `address` is in the subnet of `prefixAddress`/`prefixLength` where no host can have it; null where one can, or
 * where it lies outside. An IPv4 /31 or /32 and an IPv6 /127 or /128 reserve none (RFC 3021, RFC 6164).
 */
export function reservedIn(
  address: IpAddress,
  prefixAddress: IpAddress,
  prefixLength: number,
): ReservedPlace | null {
  const hostBits = address.octets.length * 8 - prefixLength;
  if (hostBits < 2 || !inPrefix(address, prefixAddress, prefixLength)) return null;
  const host = [...address.octets].flatMap((octet, index) => {
    const bits = Math.min(8, Math.max(0, (index + 1) * 8 - prefixLength));
    return bits === 0 ? [] : [{ value: octet & (0xff >> (8 - bits)), ones: 0xff >> (8 - bits) }];
  });
  const isZero = host.every(({ value }) => value === 0);
  if (address.family === 'IPv6') return isZero ? 'subnet-router anycast address' : null;
  if (isZero) return 'network address';
  return host.every(({ value, ones }) => value === ones) ? 'broadcast address' : null;
}

/** `10.0.0.0/24` for any address of that network. */
export function formatNetwork(address: IpAddress, prefixLength: number): string {
  const octets = address.octets.map((octet, index) => {
    const bits = Math.min(8, Math.max(0, prefixLength - index * 8));
    return octet & (0xff << (8 - bits));
  });
  return `${ipFromOctets(octets).text}/${prefixLength}`;
}

/** True for fe80::/10 (RFC 4291 2.5.6). */
export function isLinkLocal(address: IpAddress): boolean {
  return (
    address.family === 'IPv6' && address.octets[0] === 0xfe && ((address.octets[1] ?? 0) & 0xc0) === 0x80
  );
}

/** `192.0.2.1:443` or `[2001:db8::1]:443`. */
export function formatHostPort(address: IpAddress, port: number): string {
  return address.family === 'IPv6' ? `[${address.text}]:${port}` : `${address.text}:${port}`;
}

/** The address in the text that a socket has for it: a zone is left out, IPv4 behind `::ffff:` is IPv4. Null: none. */
export function parseSocketAddress(text: string): IpAddress | null {
  return parseIp(text.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/, ''));
}
