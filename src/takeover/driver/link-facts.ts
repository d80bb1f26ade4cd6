/** What a frame needs to know of an interface, as it is now (Documentation/ABI/testing/sysfs-class-net). */
import { readFileSync } from 'node:fs';

export type LinkFacts = { readonly index: number; readonly mac: Uint8Array; readonly mtuBytes: number };

/** Null for an interface that is not there. */
export function readLinkIndex(name: string): number | null {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
  } catch {
    // It went away.
    return null;
  }
}

/** Null for an interface that is not there, or has no Ethernet address. */
export function readLinkFacts(name: string): LinkFacts | null {
  const read = (file: string): string => readFileSync(`/sys/class/net/${name}/${file}`, 'utf8').trim();
  try {
    const mac = /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/u.exec(read('address'))?.[0];
    if (mac === undefined) return null;
    const octets = Uint8Array.from(mac.split(':'), (octet) => Number.parseInt(octet, 16));
    return { index: Number(read('ifindex')), mac: octets, mtuBytes: Number(read('mtu')) };
  } catch {
    // It went away, perhaps between two of the files.
    return null;
  }
}
