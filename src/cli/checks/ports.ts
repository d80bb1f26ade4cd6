/** Checks of TCP ports: what this node has to listen on, and what it has to reach. */
import { connect, createServer } from 'node:net';

import { backendPeers, type Config } from '../../config/config.ts';
import { formatHostPort, type IpAddress } from '../../ip/address.ts';
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

function judgeListen(
  name: string,
  where: string,
  key: string,
  code: string | null,
  runningPid: number | null,
): CheckResult {
  if (code === null) return ok(name, `${where} is free`);
  const port = where.slice(where.lastIndexOf(':') + 1);
  if (code === 'EADDRINUSE' && runningPid !== null) {
    return ok(name, `${where} is taken while kube-vrrp runs here already (pid ${runningPid})`);
  }
  if (code === 'EADDRINUSE') {
    const fix = `find who has it (ss -tanp 'sport = :${port}') and stop it, or choose another ${key}`;
    return fail(name, `${where} is taken by another program`, fix);
  }
  if (code === 'EADDRNOTAVAIL')
    return fail(name, `${where} is no address of this node`, `choose another ${key}`);
  if (code === 'EACCES') {
    return fail(name, `${where} may not be listened on`, `run as root, or choose a ${key} above 1023`);
  }
  return fail(name, `${where} cannot be listened on (${code})`, `choose another ${key}`);
}

/** Whether the proxy and the admin endpoint could listen. `runningPid` is the kube-vrrp that runs here, or null. */
export async function checkListening(
  { proxy, admin }: Config,
  runningPid: number | null,
): Promise<CheckResult[]> {
  let code = await tryListen('::', proxy.port);
  // A host without IPv6 has no `::`; the proxy falls back in the same way.
  if (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL') code = await tryListen('0.0.0.0', proxy.port);
  const results = [judgeListen('proxy port', `*:${proxy.port}`, 'proxy.port', code, runningPid)];
  if (admin.listen === null) return results;
  const { address, port } = admin.listen;
  const adminCode = await tryListen(address.text, port);
  return [
    ...results,
    judgeListen('admin port', formatHostPort(address, port), 'admin.address', adminCode, runningPid),
  ];
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

/** Whether the other nodes can be reached. */
export function checkPeers(config: Config, self: IpAddress | null): Promise<CheckResult[]> {
  const others = backendPeers(config).filter(({ text }) => text !== self?.text);
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
