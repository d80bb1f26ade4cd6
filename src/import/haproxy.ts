/** From an haproxy.cfg in front of API servers to the peers, the ports and the path of the checks. Pure. */
import { formatHostPort, type IpAddress, parseIp } from '../ip/address.ts';
import { type Imported, Importing, type SourceFile } from './imported.ts';

type Line = { readonly words: readonly string[]; readonly line: number };

type Section = {
  /** `frontend`, `backend`, `listen`, `defaults` or another one. */
  readonly kind: string;
  readonly name: string;
  readonly line: number;
  readonly lines: Line[];
};

/** What listens, and the servers behind it, with what is set for them. */
type Proxy = { readonly name: string; readonly binds: readonly Line[]; readonly lines: readonly Line[] };

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
export function importHaproxy(file: SourceFile): Imported {
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
    importCheck(importing, proxy);
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
  const defaults = sections.filter(({ kind }) => kind === 'defaults').flatMap(({ lines }) => lines);
  const binds = (section: Section): Line[] => section.lines.filter(({ words }) => words[0] === 'bind');
  return sections
    .flatMap((section): Proxy[] => {
      if (section.kind === 'listen') {
        return [{ name: section.name, binds: binds(section), lines: [...defaults, ...section.lines] }];
      }
      if (section.kind !== 'frontend') return [];
      const name = section.lines.find(({ words }) => words[0] === 'default_backend')?.words[1];
      const backend = sections.find((other) => other.kind === 'backend' && other.name === name);
      if (backend === undefined) return [];
      return [{ name: section.name, binds: binds(section), lines: [...defaults, ...backend.lines] }];
    })
    .filter((proxy) => serversOf(proxy).length > 0);
}

/** The address and port at the end of `bind` and `server`: `*:8443`, `192.0.2.1:6443`, `[2001:db8::1]:6443`, `:::6443`. */
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

function importPort(importing: Importing, { binds: [first, ...others] }: Proxy): void {
  if (first === undefined) return;
  const { host, port } = splitHostPort((first.words[1] ?? '').split(',')[0] ?? '');
  if (port === API_SERVER_PORT) {
    const text = `port ${port} is left out: kube-vrrp listens on all addresses of a node, where the API server has this port, so the endpoint's port changes to proxy.port`;
    importing.find(text, first.line);
  } else if (!Number.isNaN(port)) importing.set('proxy.port', port, first.line);
  else
    importing.find(
      `bind ${first.words[1] ?? ''} has no port that is a number: give it by --proxy-port`,
      first.line,
    );
  if (parseIp(host) !== null && !/^(?:0\.0\.0\.0|::)$/.test(host)) {
    importing.find(`${host} is left out: kube-vrrp listens on all addresses of the node`, first.line);
  }
  for (const { words, line } of others) {
    if (splitHostPort(words[1] ?? '').port === port) continue;
    importing.find(`bind ${words[1] ?? ''} is left out: kube-vrrp listens on one port`, line);
  }
}

function importServers(importing: Importing, servers: readonly Server[]): void {
  const addresses: string[] = [];
  for (const { address, host, line } of servers) {
    if (address !== null) addresses.push(address.text);
    else
      importing.find(
        `server ${host} is left out: kube-vrrp asks no name server, so give the addresses by --peers`,
        line,
      );
  }
  const [first] = servers;
  if (first === undefined) return;
  if (addresses.length === servers.length) importing.set('peers', addresses, first.line);
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
function importCheck(importing: Importing, { lines }: Proxy): void {
  for (const { words, line } of lines) {
    const path = checkPath(words);
    if (path !== null && path !== DEFAULT_PATH) importing.set('health.path', path, line);
  }
  const pace = lines.find(({ words }) => isServerLine(words) && words.some((word) => PACE.has(word)));
  if (pace !== undefined) {
    const text =
      "inter, rise and fall are left out: kube-vrrp's own are 1s, 2 and 3 (health.interval, health.rise, health.fall)";
    importing.find(text, pace.line);
  }
  for (const { words, line } of lines) {
    if (words[0] !== 'server' || !words.includes('disabled')) continue;
    importing.find(`server ${words[1] ?? ''} is disabled here, and is one of the peers all the same`, line);
  }
  const wrapped = lines.find(({ words }) => isServerLine(words) && words.some((word) => WRAPPING.has(word)));
  if (wrapped !== undefined) {
    const text = 'ssl and send-proxy are left out: kube-vrrp passes on what clients send as it is';
    importing.find(text, wrapped.line);
  }
}

const PACE = new Set(['inter', 'rise', 'fall']);
const WRAPPING = new Set(['ssl', 'send-proxy', 'send-proxy-v2']);

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
