/**
 * A child of net.test.ts: uses the sockets of the drivers inside a namespace as told by messages, and prints what comes
 * of it as lines of JSON. Addresses are text and octets are hexadecimal on the way.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

import { type IpAddress, parseIp } from '../../src/ip/address.ts';
import { type EthernetLink, LinkSocket } from '../../src/net/link-socket.ts';
import { openPacketSocket } from '../../src/vrrp/driver/packet-socket.ts';
import { probeAddress } from '../../src/vrrp/driver/address-claims.ts';
import type { AddressLease, InterfaceAddress, Link } from '../../src/net/rtnetlink-messages.ts';
import { RtNetlink } from '../../src/net/rtnetlink.ts';
import { abortConnection } from '../../src/proxy/driver/tcp-abort.ts';
import { openGroupMembership } from '../../src/vrrp/driver/group-membership.ts';
import { openVrrpSocket, type VrrpDatagram, type VrrpSocket } from '../../src/vrrp/driver/vrrp-socket.ts';

export type WireLease = {
  readonly linkIndex: number;
  readonly address: string;
  readonly validSeconds: number;
};
export type WireAddress = Omit<InterfaceAddress, 'address'> & { readonly address: string };
export type WireDatagram = {
  readonly payload: string;
  readonly source: string;
  readonly destination: string;
  readonly ttl: number;
};
export type WireConnection = { readonly port: number; readonly clientPort: number };
export type AgentRequest = { readonly id: number; readonly does: string; readonly with: readonly unknown[] };
export type AgentLine =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: { name: string; code: string; message: string } }
  | { readonly event: string; readonly value: unknown };

const CAPTURE_POLL_MS = 2;
const FRAME_BYTES = 2048;

function print(line: AgentLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function event(name: string, value: unknown): void {
  print({ event: name, value });
}

function ip(text: string): IpAddress {
  return parseIp(text) ?? assert.fail(`not an address: ${text}`);
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}

function wireAddress(address: InterfaceAddress): WireAddress {
  return { ...address, address: address.address.text };
}

function leaseOf(lease: WireLease): AddressLease {
  return { ...lease, address: ip(lease.address) };
}

function wireDatagram({ payload, source, destination, ttl }: VrrpDatagram): WireDatagram {
  return { payload: hex(payload), source: source.text, destination: destination.text, ttl };
}

const sockets = new Map<string, VrrpSocket>();
const memberships = new Map<string, () => void>();
let netlink: RtNetlink | null = null;
let renewals: NodeJS.Timeout | null = null;

function rtnetlink(): RtNetlink {
  netlink ??= RtNetlink.open({
    onChange: (change) =>
      event('netlink', 'address' in change ? { ...change, address: wireAddress(change.address) } : change),
    onError: (error) =>
      event('netlinkError', { code: (error as { code?: string }).code, message: error.message }),
  });
  return netlink;
}

async function linkNamed(name: string): Promise<Link> {
  const link = (await rtnetlink().links()).find((candidate) => candidate.name === name);
  return link ?? assert.fail(`no link ${name}`);
}

function socketNamed(name: string): VrrpSocket {
  return sockets.get(name) ?? assert.fail(`no VRRP socket ${name}`);
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

/** Keeps the event loop from turning, from when it says so on. */
function block(forMs: number): void {
  event('blocked', null);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, forMs);
}

/** Prints every frame of one EtherType that a link sees, also those that it sends. */
function capture(link: EthernetLink, etherType: number): void {
  const socket = new LinkSocket(link, { etherType });
  const buffer = new Uint8Array(FRAME_BYTES);
  setInterval(() => {
    for (let length = socket.receive(buffer); length !== null; length = socket.receive(buffer)) {
      event('frame', hex(buffer.subarray(0, length)));
    }
  }, CAPTURE_POLL_MS);
}

type VrrpOpening = {
  name: string;
  link: Link;
  source: string;
  multicast: boolean;
  /** The handler throws at a datagram with this payload, and for others tells when its promises are run. */
  throwsAt?: string;
};

function openVrrp({ name, link, source, multicast, throwsAt }: VrrpOpening): void {
  const socket = openVrrpSocket({
    family: ip(source).family,
    link,
    source: ip(source),
    multicast,
    expected: { vrid: 51, version: 3, sources: null },
    onDatagram: (datagram) => {
      event(name, wireDatagram(datagram));
      if (throwsAt === undefined) return;
      if (hex(datagram.payload) === throwsAt) throw new Error('thrown by the handler');
      setImmediate(() => event('immediate after datagram', null));
      void Promise.resolve().then(() => event('promise after datagram', null));
    },
    onError: (error) => event('vrrpError', error.message),
  });
  sockets.set(name, socket);
  if (multicast) memberships.set(name, openGroupMembership(ip(source).family, link.index));
}

async function connectTo(host: string, port: number): Promise<Socket> {
  const client = connect({ host, port });
  await once(client, 'connect');
  return client;
}

/** A listener, and a client of it that tells how its connection ended. */
async function openConnection(host: string): Promise<WireConnection> {
  const server = createServer((accepted) => accepted.on('error', () => {}));
  server.listen({ host, port: 0 });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = await connectTo(host, port);
  const clientPort = client.localPort ?? assert.fail();
  client.on('error', ({ code }: NodeJS.ErrnoException) => event('connectionEnded', { clientPort, code }));
  return { port, clientPort };
}

const actions: Record<string, (...given: never[]) => unknown> = {
  links: () => rtnetlink().links(),
  addresses: async () => (await rtnetlink().addresses()).map(wireAddress),
  routes: () => rtnetlink().routes(['IPv4', 'IPv6']),
  lease: (lease: WireLease) => rtnetlink().leaseAddress(leaseOf(lease)),
  remove: (linkIndex: number, address: string) => rtnetlink().removeAddress(linkIndex, ip(address)),
  renew: (leases: readonly WireLease[], everyMs: number) => {
    renewals = setInterval(() => {
      for (const lease of leases) {
        try {
          rtnetlink().leaseAddress(leaseOf(lease));
        } catch (error) {
          event('renewalFailed', (error as Error).message);
        }
      }
    }, everyMs);
  },
  stopRenewing: () => {
    if (renewals !== null) clearInterval(renewals);
  },
  /** Dumps and leases all at once: how many leases were answered, and what was in each dump. */
  storm: async (lease: WireLease, leaseCount: number, dumpCount: number) => {
    const dumps = Array.from({ length: dumpCount }, () => rtnetlink().addresses());
    // Long enough that the first dump has been asked for, and not so long that it has been read.
    for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
    for (let count = 0; count < leaseCount; count += 1) rtnetlink().leaseAddress(leaseOf(lease));
    return {
      leases: leaseCount,
      dumps: (await Promise.all(dumps)).map((dump) => dump.length),
    };
  },
  openVrrp: async (linkName: string, opening: Omit<VrrpOpening, 'link'>) =>
    openVrrp({ ...opening, link: await linkNamed(linkName) }),
  openVrrpOn: (index: number, opening: Omit<VrrpOpening, 'link'>) =>
    openVrrp({ ...opening, link: { index, name: `nolink${index}`, altNames: [], mac: null, up: true } }),
  send: (name: string, payload: string, destination: string) =>
    socketNamed(name).send(bytes(payload), ip(destination)),
  sendMany: (name: string, count: number, payload: string, destination: string) => {
    for (let sent = 0; sent < count; sent += 1) socketNamed(name).send(bytes(payload), ip(destination));
  },
  unread: (name: string) => socketNamed(name).unread(),
  sendLong: (name: string, length: number, destination: string) =>
    socketNamed(name).send(new Uint8Array(length), ip(destination)),
  /** Waits with the event loop stopped, so that what comes meanwhile is queued, and only then reads. */
  blockAndDrain: (name: string, forMs: number, limits: readonly number[]) => {
    block(forMs);
    const drained: WireDatagram[] = [];
    return limits.map((limit, index) => {
      const socket = socketNamed(name);
      const take = (datagram: VrrpDatagram): unknown => drained.push(wireDatagram(datagram));
      const count = index === 0 ? socket.discard(limit) : socket.readQueued(take, limit);
      return { count, drained: [...drained] };
    });
  },
  closeVrrp: (name: string) => {
    socketNamed(name).close();
    memberships.get(name)?.();
  },
  /** Forgets a socket without closing it, and collects. */
  forgetVrrp: (name: string) => {
    sockets.delete(name);
    globalThis.gc?.();
  },
  block,
  announce: async (linkName: string, address: string) => {
    const packets = openPacketSocket(await linkNamed(linkName));
    if (ip(address).family === 'IPv4') packets.sendGratuitousArp(ip(address));
    else packets.sendUnsolicitedNa(ip(address), true);
    packets.close();
  },
  openPacket: (link: EthernetLink) => openPacketSocket({ ...link, mac: new Uint8Array(6) }).close(),
  sendFrame: async (linkName: string, frame: string) => {
    const socket = new LinkSocket(await linkNamed(linkName), null);
    socket.send(bytes(frame));
    socket.close();
  },
  capture: async (linkName: string, etherType: number) => capture(await linkNamed(linkName), etherType),
  probe: async (linkName: string, source: string | null, address: string, timeoutMs: number) =>
    probeAddress(await linkNamed(linkName), source === null ? null : ip(source), ip(address), timeoutMs),
  openConnection,
  abortConnection: (host: string, localPort: number, remotePort: number) =>
    abortConnection({ address: ip(host), port: localPort }, { address: ip(host), port: remotePort }),
  /** Throws unless somebody listens. */
  visit: async (host: string, port: number) => void (await connectTo(host, port)).destroy(),
};

async function obey({ id, does, with: given }: AgentRequest): Promise<void> {
  try {
    const action = actions[does] ?? assert.fail(`unknown action ${does}`);
    print({ id, result: (await action(...(given as never[]))) ?? null });
  } catch (error) {
    const { name, code, message } = error as { name: string; code: string; message: string };
    print({ id, error: { name, code, message } });
  }
}

process.on('uncaughtException', (error) => event('uncaughtException', error.message));
process.on('message', (request) => void obey(request as AgentRequest));
event('ready', null);
