/** From an haproxy.cfg in front of API servers to the peers, the ports and the path of the checks. Pure. */
import type { ConfigFile } from '../config/file.ts';
import { formatHostPort, type IpAddress, parseIp } from '../ip/address.ts';
import { type Imported, Importing } from './imported.ts';

type Line = { readonly words: readonly string[]; readonly line: number };

type Section = {
  /** `frontend`, `backend`, `listen`, `defaults` or another one. */
  readonly kind: string;
  readonly name: string;
  readonly line: number;
  readonly lines: Line[];
};

/** What listens, and the servers behind it, with what is set for them. */
type Proxy = {
  readonly name: string;
  readonly line: number;
  /** What the listening side says. */
  readonly front: readonly Line[];
  /** What is said of the servers, defaults first. */
  readonly lines: readonly Line[];
};

type Server = {
  readonly address: IpAddress | null;
  readonly host: string;
  readonly port: number;
  readonly line: number;
};

const SECTIONS = new Set([
  ...['global', 'defaults', 'frontend', 'backend', 'listen', 'resolvers', 'peers', 'userlist', 'mailers'],
  ...['cache', 'program', 'ring', 'log-forward', 'http-errors', 'fcgi-app'],
]);
const API_SERVER_PORT = 6443;
const DEFAULT_PATH = '/healthz';

/** Where several proxies may be the one for the API servers, or none, it says so and has no values. */
export function importHaproxy(file: ConfigFile): Imported {
  const importing = new Importing(file.name);
  const proxies = findProxies(readSections(file.text));
  const likely = proxies.filter((proxy) => serversOf(proxy).some(({ port }) => port === API_SERVER_PORT));
  const [proxy, ...others] = likely.length > 0 ? likely : proxies;
  if (proxy === undefined) {
    importing.find('has nothing that listens and has servers behind it, so nothing of it is used', null);
  } else if (others.length > 0) {
    const names = [proxy, ...others].map(({ name }) => name).join(', ');
    const text = `has several proxies that may be the one for the API servers (${names}): leave that one in the file, and run this again`;
    importing.find(text, null);
  } else {
    importPort(importing, proxy);
    importServers(importing, serversOf(proxy));
    importCheckPath(importing, proxy);
    noteServers(importing, proxy);
    noteFront(importing, proxy);
    for (const { name, line } of proxies) {
      if (line !== proxy.line) importing.find(`${name} is left out, and is gone when haproxy is`, line);
    }
  }
  return importing;
}

/** Comments begin with #; quotes and backslashes, which no line of interest needs, stay as they are. */
function readSections(text: string): Section[] {
  const sections: Section[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const words = raw
      .replace(/(^|\s)#.*/, '')
      .split(/\s+/)
      .filter((word) => word !== '');
    const [keyword, name = ''] = words;
    const line = index + 1;
    if (keyword === undefined) continue;
    if (SECTIONS.has(keyword)) sections.push({ kind: keyword, name, line, lines: [] });
    else sections.at(-1)?.lines.push({ words, line });
  }
  return sections;
}

function findProxies(sections: readonly Section[]): Proxy[] {
  return sections
    .flatMap((section): Proxy[] => {
      const { kind, name, line, lines: front } = section;
      if (kind === 'listen')
        return [{ name, line, front, lines: [...defaultsOf(section, sections), ...front] }];
      if (kind !== 'frontend') return [];
      // Which of several a client gets is decided by conditions: each may be the one for the API servers.
      return backendsOf(section, sections).map((backend) => {
        const lines = [...defaultsOf(backend, sections), ...backend.lines];
        return { name: `${name} to ${backend.name}`, line, front, lines };
      });
    })
    .filter((proxy) => serversOf(proxy).length > 0);
}

function backendsOf({ lines }: Section, sections: readonly Section[]): Section[] {
  const names = new Set(
    lines.flatMap(({ words: [keyword, name = ''] }) =>
      keyword === 'default_backend' || keyword === 'use_backend' ? [name] : [],
    ),
  );
  return sections.filter(({ kind, name }) => kind === 'backend' && names.has(name));
}

/** The defaults section that stands before another one holds for it. */
function defaultsOf(section: Section, sections: readonly Section[]): readonly Line[] {
  const before = sections.filter(({ kind, line }) => kind === 'defaults' && line < section.line);
  return before.at(-1)?.lines ?? [];
}

/**
 * The address and port at the end of `bind` and `server`: `*:8443`, `192.0.2.1:6443`, `[2001:db8::1]:6443`, `:::6443`.
 */
function splitHostPort(text: string): { readonly host: string; readonly port: number } {
  const [, host = text, port = ''] = /^(.*):(\d+)$/.exec(text) ?? [];
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? Number.NaN : Number(port) };
}

function serversOf({ lines }: Proxy): Server[] {
  return lines.flatMap(({ words: [keyword, , target = ''], line }) => {
    if (keyword !== 'server') return [];
    const { host, port } = splitHostPort(target);
    return [{ address: parseIp(host), host, port, line }];
  });
}

function importPort(importing: Importing, proxy: Proxy): void {
  const binds = proxy.front.filter(({ words }) => words[0] === 'bind');
  const [first, ...others] = binds.flatMap(({ words, line }) =>
    (words[1] ?? '').split(',').map((text) => ({ text, line, ...splitHostPort(text) })),
  );
  if (first === undefined) return;
  const { host, port, text: bindText, line } = first;
  if (Number.isNaN(port)) {
    importing.find(`bind ${bindText} has no port that is a number: give it by --proxy-port`, line);
  } else if (port === serversOf(proxy)[0]?.port) {
    const why =
      'kube-vrrp listens on all addresses of a node, where the API server has this port; so the port of the endpoint changes, to proxy.port (36443 unless given)';
    importing.leaveOut(`port ${port}`, why, line);
  } else importing.set('proxy.port', port, line);
  if (parseIp(host) !== null && !/^(?:0\.0\.0\.0|::)$/.test(host)) {
    importing.leaveOut(host, 'kube-vrrp listens on all addresses of the node', line);
  }
  for (const other of others) {
    if (other.port === port) continue;
    importing.leaveOut(`bind ${other.text}`, 'kube-vrrp listens on one port', other.line);
  }
}

const UNWRAPPED = 'kube-vrrp passes on what clients send as it is';
const RULES = /^(?:acl|tcp-request|http-request|use_backend|maxconn)$/;

/** What the listening side does beyond listening. */
function noteFront(importing: Importing, { front }: Proxy): void {
  for (const { words, line } of front) {
    const [keyword = ''] = words;
    if (keyword === 'bind') {
      for (const option of ['accept-proxy', 'ssl']) {
        if (!words.includes(option)) continue;
        importing.leaveOut(option, UNWRAPPED, line);
      }
    } else if (RULES.test(keyword)) {
      const why =
        'see proxy.allowedSources, proxy.maxConnections and proxy.acceptRate for what kube-vrrp can limit';
      importing.leaveOut(keyword, why, line);
    }
  }
}

function importServers(importing: Importing, servers: readonly Server[]): void {
  const addresses: string[] = [];
  for (const { address, host, line } of servers) {
    if (address !== null) addresses.push(address.text);
    else {
      const why = 'kube-vrrp asks no name server, so give the addresses by --peers';
      importing.leaveOut(`server ${host}`, why, line);
    }
  }
  const [first] = servers;
  if (first === undefined) return;
  if (addresses.length === servers.length) importing.set('peers', addresses, first.line);
  else
    importing.find(
      'no peers are taken from here, as some have no address: give all of them by --peers',
      first.line,
    );
  if (!Number.isNaN(first.port)) importing.set('proxy.backendPort', first.port, first.line);
  else
    importing.find('the servers have no port that is a number: give it by --proxy-backend-port', first.line);
  for (const { address, port, line } of servers) {
    if (port === first.port || Number.isNaN(first.port) || address === null) continue;
    const text = `${formatHostPort(address, port)} is checked and served on port ${first.port}: kube-vrrp has one proxy.backendPort for all`;
    importing.find(text, line);
  }
}

/** The path is what decides who is healthy; how often is kube-vrrp's own, which notices sooner. */
function importCheckPath(importing: Importing, { lines }: Proxy): void {
  const paths = lines.flatMap(({ words, line }) => {
    const path = checkPath(words);
    return path === null ? [] : [{ path, line }];
  });
  const last = paths.at(-1);
  if (last !== undefined && last.path !== DEFAULT_PATH) importing.set('health.path', last.path, last.line);
}

const PACE = new Set(['inter', 'rise', 'fall']);
const WRAPPING = new Set(['ssl', 'send-proxy', 'send-proxy-v2']);

/** What is said of servers beside their addresses; of what many of them say, the first line stands for all. */
function noteServers(importing: Importing, { lines }: Proxy): void {
  const firstWith = (options: ReadonlySet<string>): number | undefined =>
    lines.find(({ words }) => isServerLine(words) && words.some((word) => options.has(word)))?.line;
  const paceLine = firstWith(PACE);
  if (paceLine !== undefined) {
    const text =
      "inter, rise and fall are left out: kube-vrrp's own are 1s, 2 and 3 (health.interval, health.rise, health.fall)";
    importing.find(text, paceLine);
  }
  for (const { words, line } of lines) {
    const mark = ['disabled', 'backup'].find((word) => words.includes(word));
    if (words[0] !== 'server' || mark === undefined) continue;
    importing.find(`server ${words[1] ?? ''} is ${mark} here, and is one of the peers all the same`, line);
  }
  const wrappedLine = firstWith(WRAPPING);
  if (wrappedLine !== undefined) {
    importing.find(`ssl and send-proxy are left out: ${UNWRAPPED}`, wrappedLine);
  }
}

function isServerLine([keyword]: readonly string[]): boolean {
  return keyword === 'server' || keyword === 'default-server';
}

/** `option httpchk [METHOD] PATH`, `http-check send meth GET uri PATH`; null for any other line. */
function checkPath(words: readonly string[]): string | null {
  const [first, second, ...rest] = words;
  if (first === 'option' && second === 'httpchk') return rest.find((word) => word.startsWith('/')) ?? null;
  if (first !== 'http-check' || second !== 'send') return null;
  const path = rest.includes('uri') ? rest[rest.indexOf('uri') + 1] : undefined;
  return path?.startsWith('/') === true ? path : null;
}
