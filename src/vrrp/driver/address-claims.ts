/** Who on a link claims an address: asked once, for `kube-vrrp check`, or watched for as long as the VIP is held. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { IpAddress } from '../../ip/address.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import {
  arpClaim,
  arpQuestion,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV6,
  formatMac,
  neighborClaim,
  neighborSolicitation,
} from '../../wire/frames.ts';
import { type EthernetLink, LinkSocket } from '../../net/link-socket.ts';
import { claimsOf, NEIGHBOR_ADVERTISEMENTS } from './neighbor-filters.ts';

/** RFC 5227 1.1, PROBE_NUM. A lost frame must not pass for a free address. */
const QUESTIONS = 3;
const POLL_MS = 5;
const FRAME_BYTES = 2048;
/** Read at a time, so that a flood of claims costs no more. */
const MAX_CLAIMS = 64;

/**
 * The hardware address (`8a:6f:c3:d1:20:97`) of the first other host that claims `address` within `timeoutMs`, or
 * null. With `source` null this is a probe that disturbs nobody's cache: ARP from 0.0.0.0 (RFC 5227), a neighbor
 * solicitation from the unspecified address (RFC 4862); give this host's own address on the link to ask as it.
 * Throws NetError: EPERM without CAP_NET_RAW, ENETDOWN when the link is down.
 */
export async function probeAddress(
  link: EthernetLink,
  source: IpAddress | null,
  address: IpAddress,
  timeoutMs: number,
): Promise<string | null> {
  const isIpv4 = address.family === 'IPv4';
  const socket = new LinkSocket(
    link,
    isIpv4 ? { etherType: ETHERTYPE_ARP } : { etherType: ETHERTYPE_IPV6, filter: NEIGHBOR_ADVERTISEMENTS },
  );
  try {
    const question = (isIpv4 ? arpQuestion : neighborSolicitation)(socket.mac, source, address);
    return await ask(socket, question, address, timeoutMs);
  } finally {
    socket.close();
  }
}

/** Sends the question three times over the period and reads until somebody else claims the address. */
async function ask(
  socket: LinkSocket,
  question: Uint8Array,
  address: IpAddress,
  timeoutMs: number,
): Promise<string | null> {
  const startMs = monotonicMs();
  const deadlineMs = startMs + timeoutMs;
  for (let asked = 0; ;) {
    if (asked < QUESTIONS && monotonicMs() >= startMs + (asked * timeoutMs) / QUESTIONS) {
      socket.send(question);
      asked += 1;
    }
    const claimant = readClaim(socket, address, deadlineMs);
    if (claimant !== null) return claimant;
    if (monotonicMs() >= deadlineMs) return null;
    await sleep(POLL_MS);
  }
}

/** Reads the frames that wait, but not past the deadline: a flooded link must not hold the probe. */
function readClaim(socket: LinkSocket, address: IpAddress, deadlineMs: number): string | null {
  const own = formatMac(socket.mac);
  const buffer = new Uint8Array(FRAME_BYTES);
  const claimOf = address.family === 'IPv4' ? arpClaim : neighborClaim;
  for (let bytes = socket.receive(buffer); bytes !== null; bytes = socket.receive(buffer)) {
    const claim = claimOf(buffer.subarray(0, bytes), address);
    if (claim !== null && formatMac(claim) !== own) return formatMac(claim);
    if (monotonicMs() >= deadlineMs) break;
  }
  return null;
}

export interface AddressWatch {
  /** Asks who has the address, in a way that disturbs nobody's cache. Throws NetError. */
  ask(): void;
  /** Hardware addresses of other hosts that have claimed it since the last call, without waiting. Throws NetError. */
  claimants(): ReadonlySet<string>;
  close(): void;
}

/** Listens for claims of `address`. Throws NetError: EPERM without CAP_NET_RAW, ENODEV when the link is gone. */
export function watchAddress(link: EthernetLink, address: IpAddress): AddressWatch {
  const isIpv4 = address.family === 'IPv4';
  const etherType = isIpv4 ? ETHERTYPE_ARP : ETHERTYPE_IPV6;
  const socket = new LinkSocket(link, { etherType, filter: claimsOf(address) });
  const question = (isIpv4 ? arpQuestion : neighborSolicitation)(socket.mac, null, address);
  const claimOf = isIpv4 ? arpClaim : neighborClaim;
  const own = formatMac(socket.mac);
  const buffer = new Uint8Array(FRAME_BYTES);
  return {
    ask: () => socket.send(question),
    claimants: () => {
      const macs = new Set<string>();
      for (let count = 0; count < MAX_CLAIMS; count += 1) {
        const bytes = socket.receive(buffer);
        if (bytes === null) break;
        const claim = claimOf(buffer.subarray(0, bytes), address);
        if (claim !== null && formatMac(claim) !== own) macs.add(formatMac(claim));
      }
      return macs;
    },
    close: () => socket.close(),
  };
}
