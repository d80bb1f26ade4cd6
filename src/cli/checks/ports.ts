/** Checks of TCP ports: what this node has to listen on, and what it has to reach. */
import { existsSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';

import { backendPeers, type Config } from '../../config/config.ts';
import { formatHostPort, ipFromOctets, type IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { errorCode } from '../system-errors.ts';
import { fail, ok, warn, type CheckResult } from './result.ts';

const CONNECT_TIMEOUT_MS = 2000;

/** Tries to listen, and stops again at once. Null: it worked; else the error's code. */
function tryListen(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error) => resolve(errorCode(error) || errorText(error)));
    server.listen({ host, port }, () => {
      server.close(() => resolve(null));
    });
  });
}

/** The kube-vrrp that runs on this node. */
export type Running = {
  readonly pid: number;
  /** What it waits for before it listens; null when it does not. */
  readonly waitingFor: string | null;
};

/** Which of this host's TCP sockets have a local port: by listening, or as one end of a connection. */
export type PortUsers = {
  readonly listening: boolean;
  /** One connection of it, `10.0.0.1:36443 to 10.0.0.2:2379`; null without. */
  readonly connection: string | null;
};

const TCP_LISTEN = '0A';
/** Of an IPv4 address on an IPv6 socket (RFC 4291 2.5.5.2). */
const MAPPED = Buffer.from('00000000000000000000ffff', 'hex');

/**
 * An address as /proc/net/tcp has it: 32-bit words in the host's byte order (proc_net_tcp in the kernel's
 * documentation).
 */
function procAddress(text: string): string {
  const [words = '', port = ''] = text.split(':');
  const octets = Buffer.from(words, 'hex').swap32();
  const isMapped = octets.subarray(0, MAPPED.length).equals(MAPPED);
  const address = ipFromOctets(isMapped ? octets.subarray(MAPPED.length) : octets);
  return formatHostPort(address, Number.parseInt(port, 16));
}

/** Reads the texts of /proc/net/tcp and /proc/net/tcp6. */
export function findPortUsers(port: number, tables: readonly string[]): PortUsers {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = tables
    .flatMap((table) => table.split('\n').slice(1))
    .map((row) => row.trim().split(/\s+/))
    .filter(([, local = '']) => local.endsWith(suffix));
  const [, local = '', remote = ''] = rows.find(([, , , state]) => state !== TCP_LISTEN) ?? [];
  return {
    listening: rows.some(([, , , state]) => state === TCP_LISTEN),
    connection: local === '' ? null : `${procAddress(local)} to ${procAddress(remote)}`,
  };
}

function readPortUsers(port: number): PortUsers {
  const tables = ['tcp', 'tcp6'].flatMap((name) => {
    const path = `/proc/net/${name}`;
    // A kernel without IPv6 has no tcp6.
    return existsSync(path) ? [readFileSync(path, 'utf8')] : [];
  });
  return findPortUsers(port, tables);
}

type Place = { readonly name: string; readonly host: string; readonly port: number; readonly key: string };

/** Judges a port that cannot be listened on because a socket has it. */
export function judgeTaken(
  { name, host, port, key }: Place,
  { listening, connection }: PortUsers,
  running: Running | null,
): CheckResult {
  const where = `${host}:${port}`;
  if (!listening && connection !== null) {
    const fix = `end that connection (ss -K 'sport = :${port}'), and add ${port} to net.ipv4.ip_local_reserved_ports so that the kernel gives it to no other`;
    return fail(name, `${where} is taken by a connection of this node, ${connection}`, fix);
  }
  if (running?.waitingFor === null) {
    return ok(name, `${where} is taken while kube-vrrp runs here already (pid ${running.pid})`);
  }
  const waits = running === null ? '' : `; kube-vrrp (pid ${running.pid}) waits for ${running.waitingFor}`;
  const fix = `find what has it (ss -tanp 'sport = :${port}') and stop it, or choose another ${key}`;
  return fail(name, `${where} is taken by another program${waits}`, fix);
}

function judgeListen(place: Place, code: string | null, running: Running | null): CheckResult {
  const { name, host, port, key } = place;
  const where = `${host}:${port}`;
  if (code === null) return ok(name, `${where} is free`);
  if (code === 'EADDRINUSE') return judgeTaken(place, readPortUsers(port), running);
  if (code === 'EADDRNOTAVAIL')
    return fail(name, `${where} is no address of this node`, `choose another ${key}`);
  if (code === 'EACCES') {
    return fail(name, `${where} may not be listened on`, `run as root, or choose a ${key} above 1023`);
  }
  return fail(name, `${where} cannot be listened on (${code})`, `choose another ${key}`);
}

/** Whether the proxy and the admin endpoint could listen. `running` is the kube-vrrp that runs here, or null. */
export async function checkListening(
  { proxy, admin }: Config,
  running: Running | null,
): Promise<CheckResult[]> {
  let code = await tryListen('::', proxy.port);
  // A host without IPv6 has no `::`; the proxy falls back in the same way.
  if (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL') code = await tryListen('0.0.0.0', proxy.port);
  const ofProxy = { name: 'proxy port', host: '*', port: proxy.port, key: 'proxy.port' };
  const results = [judgeListen(ofProxy, code, running)];
  if (admin.listen === null) return results;
  const { address, port } = admin.listen;
  const adminCode = await tryListen(address.text, port);
  const host = address.family === 'IPv6' ? `[${address.text}]` : address.text;
  const ofAdmin = { name: 'admin port', host, port, key: 'admin.address' };
  // The admin endpoint answers from the first moment on, also while the daemon waits for something else.
  const answering = running === null ? null : { ...running, waitingFor: null };
  return [...results, judgeListen(ofAdmin, adminCode, answering)];
}

export type Reach = 'open' | 'refused' | 'silent' | 'unreachable';

/** What becomes of a TCP connection within the time; it is closed at once. */
export function tryConnect(
  address: IpAddress,
  port: number,
  timeoutMs: number = CONNECT_TIMEOUT_MS,
): Promise<Reach> {
  return new Promise((resolve) => {
    const socket = connect({ host: address.text, port });
    const finish = (reach: Reach): void => {
      socket.destroy();
      resolve(reach);
    };
    socket.setTimeout(timeoutMs, () => finish('silent'));
    socket.once('connect', () => finish('open'));
    socket.once('error', (error) => {
      const code = errorCode(error);
      if (code === 'ECONNREFUSED') finish('refused');
      else finish(code === 'ETIMEDOUT' ? 'silent' : 'unreachable');
    });
  });
}

const REACH_TEXTS: Readonly<Record<Reach, string>> = {
  open: 'answers',
  refused: 'refuses: nothing listens',
  silent: 'does not answer',
  unreachable: 'cannot be reached',
};

/** Judges one peer by its API server port and its proxy port. */
export function judgePeer(peer: IpAddress, { proxy }: Config, api: Reach, proxyReach: Reach): CheckResult {
  const name = `peer ${peer.text}`;
  const message = `API server port ${proxy.backendPort} ${REACH_TEXTS[api]}; proxy port ${proxy.port} ${REACH_TEXTS[proxyReach]}`;
  if (api === 'open' && proxyReach === 'open') return ok(name, message);
  if ([api, proxyReach].some((reach) => reach === 'silent' || reach === 'unreachable')) {
    const fix = `check that the host is up and that no firewall drops TCP ${proxy.backendPort} and ${proxy.port}, and IP protocol 112 (VRRP)`;
    return warn(name, message, fix);
  }
  const what =
    api === 'refused'
      ? 'the node has joined (kubeadm init or join) and its API server runs'
      : 'kube-vrrp runs there';
  return warn(name, message, `nothing, if that is still to come; else see that ${what}`);
}

/** Whether the other nodes can be reached. `isOwn` knows the addresses of this one. */
export function checkPeers(config: Config, isOwn: (address: IpAddress) => boolean): Promise<CheckResult[]> {
  const others = backendPeers(config).filter((peer) => !isOwn(peer));
  return Promise.all(
    others.map(async (peer) => {
      const [api, proxyReach] = await Promise.all([
        tryConnect(peer, config.proxy.backendPort),
        tryConnect(peer, config.proxy.port),
      ]);
      return judgePeer(peer, config, api, proxyReach);
    }),
  );
}
