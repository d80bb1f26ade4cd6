/** A host that sends VRRP packets nobody configured: forged, malformed or plain rubbish. IPv4. */
import { join } from 'node:path';

import { parseIp } from '../../src/ip/address.ts';
import { eventually } from './eventually.ts';
import { HOST_INTERFACE, type Host } from './host.ts';
import type { LabProcess } from './lab-process.ts';

const VRRP_PROTOCOL = 112;
const UDP_PROTOCOL = 17;

/** An advertisement and what is wrong with it. The defaults make a valid one. */
export type Forgery = {
  readonly version?: number;
  readonly type?: number;
  readonly vrid?: number;
  readonly priority?: number;
  readonly intervalCs?: number;
  readonly addresses?: readonly string[];
  /** Default: the number of `addresses`. */
  readonly count?: number;
  readonly ttl?: number;
  readonly source?: string;
  readonly destination?: string;
  /** Added to the right checksum. */
  readonly checksumError?: number;
  /** Octets of the message that are sent; the checksum is right for them. */
  readonly length?: number;
  /** In place of the whole VRRP message. */
  readonly payload?: Uint8Array;
};

function octets(address: string): Uint8Array {
  const parsed = parseIp(address);
  if (parsed === null) throw new Error(`${address} is not an address`);
  return parsed.octets;
}

/** The internet checksum (RFC 1071) of some octets. */
function checksum(data: Buffer): number {
  let sum = 0;
  for (let at = 0; at < data.length; at += 2) sum += ((data[at] ?? 0) << 8) | (data[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** RFC 9568 5.1, written a second time on purpose: the lab does not trust the daemon's own codec. */
function message(forgery: Required<Pick<Forgery, 'source' | 'destination'>> & Forgery): Buffer {
  const { version = 3, type = 1, vrid = 51, priority = 255, intervalCs = 10, checksumError = 0 } = forgery;
  const addresses = forgery.addresses ?? ['192.168.100.10'];
  const head = [(version << 4) | type, vrid, priority, forgery.count ?? addresses.length];
  // RFC 3768 5.3: no authentication, one second; authentication data in the end; no pseudo-header.
  const interval = version === 2 ? [0, 1] : [intervalCs >> 8, intervalCs & 0xff];
  const tail = version === 2 ? [0, 0, 0, 0, 0, 0, 0, 0] : [];
  const whole = Buffer.from([
    ...head,
    ...interval,
    0,
    0,
    ...addresses.flatMap((a) => [...octets(a)]),
    ...tail,
  ]);
  const sent = whole.subarray(0, forgery.length ?? whole.length);
  if (sent.length < 8) return sent;
  const pseudoHeader = [
    ...octets(forgery.source),
    ...octets(forgery.destination),
    0,
    VRRP_PROTOCOL,
    0,
    sent.length,
  ];
  const covered = version === 2 ? sent : Buffer.from([...pseudoHeader, ...sent]);
  sent.writeUInt16BE((checksum(covered) + checksumError) & 0xffff, 6);
  return sent;
}

/** The packet with its IPv4 header; the kernel fills in length and checksum. */
function packet(source: string, forgery: Forgery): Buffer {
  const whole = { source, destination: '224.0.0.18', ttl: 255, ...forgery };
  const header = [0x45, 0xc0, 0, 0, 0, 0, 0, 0, whole.ttl, VRRP_PROTOCOL, 0, 0];
  const payload = forgery.payload ?? message(whole);
  return Buffer.from([...header, ...octets(whole.source), ...octets(whole.destination), ...payload]);
}

/** 01:00:5e and the last 23 bits of 224.0.0.18 (RFC 1112 6.4). */
const GROUP_MAC = [0x01, 0, 0x5e, 0, 0, 0x12];
const FORGER_MAC = [0x02, 0, 0, 0, 0, 0x66];

/** The same as an Ethernet frame to the group, with length and header checksum filled in. */
function frame(source: string, forgery: Forgery): Buffer {
  const whole = packet(source, forgery);
  whole.writeUInt16BE(whole.length, 2);
  whole.writeUInt16BE(checksum(whole.subarray(0, 20)), 10);
  return Buffer.from([...GROUP_MAC, ...FORGER_MAC, 0x08, 0, ...whole]);
}

/** A datagram of any source to the port where peers listen, as an Ethernet frame. */
export type DatagramForgery = {
  readonly source: string;
  readonly sourcePort: number;
  readonly to: Host;
  readonly port: number;
  readonly payload: Uint8Array;
};

async function datagramFrame({ source, sourcePort, to, port, payload }: DatagramForgery): Promise<Buffer> {
  const { stdout } = await to.exec('cat', `/sys/class/net/${HOST_INTERFACE}/address`);
  const mac = stdout
    .trim()
    .split(':')
    .map((octet) => Number.parseInt(octet, 16));
  const header = Buffer.from([
    0x45,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    255,
    UDP_PROTOCOL,
    0,
    0,
    ...octets(source),
    ...octets(to.ipv4),
  ]);
  // The checksum may be zero with IPv4 (RFC 768).
  const udp = Buffer.alloc(8);
  udp.writeUInt16BE(sourcePort, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(udp.length + payload.length, 4);
  header.writeUInt16BE(header.length + udp.length + payload.length, 2);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.from([...mac, ...FORGER_MAC, 0x08, 0, ...header, ...udp, ...payload]);
}

export type Flood = { readonly sent: number; readonly seconds: number };

export type FloodRate = { readonly perSecond: number; readonly seconds: number };

/** Sends these forgeries in turn, so many a second in all, for so long, and tells what it has managed. */
export function flood(host: Host, forgeries: readonly Forgery[], rate: FloodRate): Promise<Flood> {
  return floodFrames(
    host,
    forgeries.map((forgery) => frame(host.ipv4, forgery)),
    rate,
  );
}

/** The same with datagrams. */
export async function floodDatagrams(
  host: Host,
  forgeries: readonly DatagramForgery[],
  rate: FloodRate,
): Promise<Flood> {
  return floodFrames(host, await Promise.all(forgeries.map(datagramFrame)), rate);
}

async function floodFrames(
  host: Host,
  frames: readonly Buffer[],
  { perSecond, seconds }: FloodRate,
): Promise<Flood> {
  let result: Flood | null = null;
  const script = join(import.meta.dirname, 'flood.py');
  const running = host.spawn({
    command: ['python3', script, HOST_INTERFACE, String(perSecond), String(seconds)],
    onLine: (line) => (result = JSON.parse(line) as Flood),
  });
  for (const octetsOfFrame of frames) running.writeLine(octetsOfFrame.toString('hex'));
  running.writeLine('');
  await running.exited;
  if (result === null) throw new Error(`the flood did not end well: ${running.stderr}`);
  return result;
}

export class Forger {
  readonly #host: Host;
  readonly #process: LabProcess;
  #sent = 0;
  #asked = 0;

  constructor(host: Host) {
    this.#host = host;
    this.#process = host.spawn({
      command: ['python3', join(import.meta.dirname, 'forge.py'), HOST_INTERFACE],
      onLine: () => (this.#sent += 1),
    });
  }

  /** Sends the forgery so many times and waits until the kernel has taken the last one. */
  async send(forgery: Forgery, times = 1): Promise<void> {
    const line = packet(this.#host.ipv4, forgery).toString('hex');
    for (let count = 0; count < times; count += 1) this.#process.writeLine(line);
    this.#asked += times;
    await eventually(() => this.#sent >= this.#asked, {
      what: 'the forger to send',
      otherwise: () => this.#process.stderr,
    });
  }

  async stop(): Promise<void> {
    await this.#process.kill();
  }
}
