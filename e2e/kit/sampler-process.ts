/**
 * Looks, every few milliseconds, which hosts' kernels have which of the given addresses, all hosts in one look. Prints
 * a line when the picture changes, and a sign of life each 50 ms. Argument 1: a `SamplerTask` as JSON.
 */
import { openSync, readFileSync, readSync } from 'node:fs';

import { monotonicMs } from '../../src/runtime/clock.ts';
import type { Sample, SamplerTask } from './holders.ts';

const ALIVE_MS = 50;

type Look = (buffer: Buffer) => boolean;

/** Only an address that the kernel answers for has a local /32 route; `ip addr` would list it on a downed link, too. */
function ipv4Look(address: string): Look {
  const entry = Buffer.from(`|-- ${address}\n`);
  return (table) => {
    for (let at = table.indexOf(entry); at >= 0; at = table.indexOf(entry, at + 1)) {
      const next = table.toString('latin1', at + entry.length, at + entry.length + 64).trimStart();
      if (next.startsWith('/32 host LOCAL')) return true;
    }
    return false;
  };
}

/** Lines of /proc/net/if_inet6 begin with the address as 32 hexadecimal digits. */
function ipv6Look(hex: string): Look {
  return (table) => table.includes(hex);
}

function readWhole(file: number, buffer: Buffer): Buffer {
  let length = 0;
  for (;;) {
    // At position 0 the kernel makes the text anew; further reads continue it.
    const bytes = readSync(file, buffer, length, buffer.length - length, length);
    if (bytes === 0) return buffer.subarray(0, length);
    length += bytes;
  }
}

/** Whether what a host has on its virtual link counts: there is none, or it has a carrier. */
function carrierLook(pid: number, link: string): () => boolean {
  // The process's own view of /sys is its namespace's (ip-netns(8)).
  const file = `/proc/${pid}/root/sys/class/net/${link}/carrier`;
  return () => {
    try {
      return readFileSync(file, 'latin1').startsWith('1');
    } catch (error) {
      // EINVAL: the link is down.
      return (error as NodeJS.ErrnoException).code === 'ENOENT';
    }
  };
}

const { intervalMs, hosts, addresses } = JSON.parse(process.argv[2] ?? '') as SamplerTask;
const FILES = { IPv4: 'fib_trie', IPv6: 'if_inet6' };
const looks = addresses.map(({ text, ipv6Hex, virtualLink }) => {
  const file = ipv6Hex === null ? FILES.IPv4 : FILES.IPv6;
  return {
    text,
    look: ipv6Hex === null ? ipv4Look(text) : ipv6Look(ipv6Hex),
    tables: hosts.map(({ name, pid }) => ({
      name,
      table: openSync(`/proc/${pid}/net/${file}`, 'r'),
      hasCarrier: virtualLink === null ? () => true : carrierLook(pid, virtualLink),
    })),
  };
});
/** A host may have thousands of addresses, with some 200 octets of text for each. */
const buffer = Buffer.alloc(1 << 22);
let lastPicture = '';
let lastLineAtMs = 0;
let lastLookAtMs: number | null = null;

function holdersNow(): Record<string, string[]> {
  const holders: Record<string, string[]> = {};
  for (const { text, look, tables } of looks) {
    holders[text] = tables
      .filter(({ table, hasCarrier }) => look(readWhole(table, buffer)) && hasCarrier())
      .map(({ name }) => name);
  }
  return holders;
}

function sample(): void {
  const atMs = monotonicMs();
  const holders = holdersNow();
  const picture = JSON.stringify(holders);
  if (picture !== lastPicture || atMs - lastLineAtMs >= ALIVE_MS) {
    const line: Sample =
      picture === lastPicture ? { atMs } : { atMs, beforeMs: lastLookAtMs ?? atMs, holders };
    console.log(JSON.stringify(line));
    lastPicture = picture;
    lastLineAtMs = atMs;
  }
  lastLookAtMs = atMs;
}

sample();
setInterval(sample, intervalMs);
