/** From an haproxy.cfg in front of API servers to the peers, the ports and the path of the checks. Pure. */
import type { ConfigFile } from '../config/file.ts';
import { formatHostPort, type IpAddress, parseIp } from '../ip/address.ts';
import { type Imported, Importing } from './imported.ts';

type Line = { readonly words: readonly string[]; readonly line: number };

type Section = {
  /** `frontend`, `backend`, `listen`, `defaults` or another one. */
  readonly kind: string;
  readonly name: string;
  /** The `defaults` section that it names, from HAProxy 2.4 on; null: the last one before it. */
  readonly from: string | null;
  readonly line: number;
  readonly lines: Line[];
};

/** What listens, and the servers behind it, with what is set for them. */
type Proxy = {
  readonly name: string;
  readonly line: number;
  /** The sections that it is made of, without defaults. */
  readonly sections: readonly Section[];
  /** What the listening side says. */
  readonly front: readonly Line[];
  /** What is said of the servers, defaults first. */
  readonly lines: readonly Line[];
};

type Server = {
  readonly address: IpAddress | null;
  /** Its keyword and its host, as messages call it. */
  readonly name: string;
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
  const sections = readSections(file.text);
  const proxies = findProxies(sections);
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
    noteOptions(importing, proxy);
    noteRest(importing, sections, proxy);
    noteSections(importing, sections, proxy);
  }
  return importing;
}

/** A word may have parts in quotes; a backslash, but not within single quotes, takes the sign behind it as it is. */
const WORD = /(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^\s#"'\\])+|#.*/g;

function wordsOf(line: string): string[] {
  const words = [...line.matchAll(WORD)].map(([word]) => word).filter((word) => !word.startsWith('#'));
  return words.map((word) =>
    word.replaceAll(
      /'([^']*)'|\\(.)|"/g,
      (_match, strong?: string, escaped?: string) => strong ?? escaped ?? '',
    ),
  );
}

function readSections(text: string): Section[] {
  const sections: Section[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const words = wordsOf(raw);
    const [keyword, ...rest] = words;
    const line = index + 1;
    if (keyword === undefined) continue;
    if (SECTIONS.has(keyword)) {
      const fromAt = rest.indexOf('from');
      const from = fromAt === -1 ? null : (rest[fromAt + 1] ?? null);
      sections.push({ kind: keyword, name: fromAt === 0 ? '' : (rest[0] ?? ''), from, line, lines: [] });
    } else sections.at(-1)?.lines.push({ words, line });
  }
  return sections;
}

function findProxies(sections: readonly Section[]): Proxy[] {
  return sections
    .flatMap((section): Proxy[] => {
      const { kind, name, line, lines: front } = section;
      if (kind === 'listen') {
        const lines = [...defaultsOf(section, sections), ...front];
        return [{ name, line, sections: [section], front, lines }];
      }
      if (kind !== 'frontend') return [];
      // Which of several a client gets is decided by conditions: each may be the one for the API servers.
      return backendsOf(section, sections).map((backend) => {
        const lines = [...defaultsOf(backend, sections), ...backend.lines];
        return { name: `${name} to ${backend.name}`, line, sections: [section, backend], front, lines };
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

/**
 * What holds for a section before its own lines: the `defaults` that it names, which may be built on others, or the
 * last one that stands before it.
 */
function defaultsOf(section: Section, sections: readonly Section[]): readonly Line[] {
  const before = sections.filter(({ kind, line }) => kind === 'defaults' && line < section.line);
  const named = before.findLast(({ name }) => name === section.from);
  const base = section.from === null ? before.at(-1) : named;
  if (base === undefined) return [];
  // A section of defaults without `from` begins from nothing.
  return base.from === null ? base.lines : [...defaultsOf(base, sections), ...base.lines];
}

/** What may stand before an address: a family or protocol that its form tells anyway. */
const FAMILY_PREFIX = /^(?:ipv[46]|tcp[46]?)@/;

/**
 * The address and port at the end of `bind` and `server`: `*:8443`, `ipv4@192.0.2.1:6443`, `[2001:db8::1]:6443`,
 * `:::6443`.
 */
function splitHostPort(given: string): { readonly host: string; readonly port: number } {
  const text = given.replace(FAMILY_PREFIX, '');
  const [, host = text, port = ''] = /^(.*):(\d+)$/.exec(text) ?? [];
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? Number.NaN : Number(port) };
}

/** `server NAME ADDRESS`, and `server-template PREFIX COUNT NAME`, whose addresses a name server knows. */
function serversOf({ lines }: Pick<Proxy, 'lines'>): Server[] {
  return lines.flatMap(({ words: [keyword = '', , second = '', third = ''], line }) => {
    if (keyword !== 'server' && keyword !== 'server-template') return [];
    const { host, port } = splitHostPort(keyword === 'server' ? second : third);
    const address = keyword === 'server' ? parseIp(host) : null;
    return [{ address, name: `${keyword} ${host}`, host, port, line }];
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

function importServers(importing: Importing, servers: readonly Server[]): void {
  const addresses: string[] = [];
  for (const { address, name, host, line } of servers) {
    if (address !== null) addresses.push(address.text);
    else importing.leaveOut(name, `${whyNoAddress(host)}, so give the addresses by --peers`, line);
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

function whyNoAddress(host: string): string {
  if (host.includes('$')) return 'variables of the environment are not replaced here';
  return /[@/]/.test(host) ? 'it is no TCP address' : 'kube-vrrp asks no name server';
}

/** The path is what decides who is healthy; how often is kube-vrrp's own, which notices sooner. */
function importCheckPath(importing: Importing, { lines }: Proxy): void {
  let last: { readonly path: string; readonly line: number } | null = null;
  for (const { words, line } of lines) {
    const path = checkPath(words);
    if (path !== null) last = { path, line };
    else if (isOtherCheck(words)) last = null;
  }
  if (last === null || last.path === DEFAULT_PATH) return;
  if (/^\/readyz\b/.test(last.path)) {
    const why = `kube-vrrp asks ${DEFAULT_PATH} for health, and beside it /readyz by itself: an API server that is not ready gets no new clients and keeps those that it has`;
    importing.leaveOut(`${last.path} as the path of the checks`, why, last.line);
  } else importing.set('health.path', last.path, last.line);
}

const CHECKS_OF_OTHERS = /^(?:ssl-hello-chk|tcp-check|(?:ldap|mysql|pgsql|redis|spop)-check|smtpchk)$/;

/** An option that sets another kind of check in the place of one by HTTP, or takes that back. */
function isOtherCheck([first = '', second = '', third = '']: readonly string[]): boolean {
  return (
    (first === 'option' && CHECKS_OF_OTHERS.test(second)) ||
    (first === 'no' && second === 'option' && third === 'httpchk')
  );
}

/** `option httpchk [METHOD] PATH`, `http-check send meth GET uri PATH`; null for any other line. */
function checkPath(words: readonly string[]): string | null {
  const [first, second, ...rest] = words;
  if (first === 'option' && second === 'httpchk') return rest.find((word) => word.startsWith('/')) ?? null;
  if (first !== 'http-check' || second !== 'send') return null;
  const path = rest.includes('uri') ? rest[rest.indexOf('uri') + 1] : undefined;
  return path?.startsWith('/') === true ? path : null;
}

const OWN_PACE = "kube-vrrp's own are 1s, 2 and 3 (health.interval, health.rise, health.fall)";
const ALIKE = 'each new client gets the API server that has the fewest';
const VERIFIED = "kube-vrrp verifies the API servers' certificates, by the CA in health.caFile";
const NOTHING = 'kube-vrrp has no counterpart';

type Option = {
  /** Whether a word follows that is its value. */
  readonly valued: boolean;
  /** Null: nothing needs to be said. */
  readonly why: string | null;
};

/** What may follow the addresses of `server` and `bind`. Options that are not here are taken to have no value. */
const OPTIONS: ReadonlyMap<string, Option> = new Map([
  ...entries(['check', 'check-ssl', 'v4v6'], false, null),
  ...entries(['name'], true, null),
  ...entries(['inter', 'fastinter', 'downinter', 'rise', 'fall'], true, OWN_PACE),
  ...entries(['verify', 'ca-file', 'crl-file', 'verifyhost', 'check-sni', 'sni'], true, VERIFIED),
  ...entries(['weight'], true, ALIKE),
  ...entries(['ssl', 'send-proxy', 'send-proxy-v2', 'accept-proxy'], false, UNWRAPPED),
  ...entries(['crt', 'alpn', 'check-alpn', 'ssl-min-ver', 'ssl-max-ver', 'ciphers'], true, UNWRAPPED),
  ...entries(['maxconn', 'maxqueue', 'minconn'], true, 'proxy.maxConnections limits the clients of the node'),
  ...entries(
    ['backlog', 'interface', 'mss', 'nice', 'process', 'thread', 'user', 'group', 'mode'],
    true,
    NOTHING,
  ),
  ...entries(['slowstart'], true, 'kube-vrrp fills an API server that returns over 30 s'),
  ...entries(['port', 'addr', 'agent-port', 'agent-addr', 'agent-inter', 'agent-send'], true, NOTHING),
  ...entries(['on-error', 'on-marked-down', 'on-marked-up', 'observe', 'error-limit'], true, NOTHING),
  ...entries(['init-addr', 'resolvers', 'resolve-prefer', 'resolve-opts', 'resolve-net'], true, NOTHING),
  ...entries(
    ['id', 'cookie', 'source', 'namespace', 'proto', 'check-proto', 'track', 'log-proto'],
    true,
    NOTHING,
  ),
  // They are said of each server by itself.
  ...entries(['disabled', 'backup'], false, null),
]);

function entries(names: readonly string[], valued: boolean, why: string | null): [string, Option][] {
  return names.map((name) => [name, { valued, why }]);
}

/** How many words stand before the options of a line. */
const WORDS_BEFORE_OPTIONS: Readonly<Record<string, number>> = {
  bind: 2,
  server: 3,
  'server-template': 4,
  'default-server': 1,
};

type LeftOut = { readonly what: string; readonly why: string; readonly line: number };

/** What is said of addresses beside them; of what many of them say, the first line stands for all. */
function noteOptions(importing: Importing, { front, lines }: Proxy): void {
  const binds = front.filter(({ words: [keyword] }) => keyword === 'bind');
  const servers = lines.filter(({ words: [keyword] }) => keyword !== 'bind');
  noteByReason(importing, [...binds, ...servers].flatMap(optionsOf));
  for (const { words, line } of servers) {
    const mark = ['disabled', 'backup'].find((word) => words.includes(word));
    if (mark === undefined || words[0] !== 'server') continue;
    importing.find(`server ${words[1] ?? ''} is ${mark} here, and is one of the peers all the same`, line);
  }
}

function optionsOf({ words, line }: Line): LeftOut[] {
  const before = WORDS_BEFORE_OPTIONS[words[0] ?? ''];
  const parts: LeftOut[] = [];
  for (let at = before ?? words.length; at < words.length; at += 1) {
    const name = words[at] ?? '';
    const option = OPTIONS.get(name);
    const value = option?.valued === true ? words[(at += 1)] : undefined;
    const why = option === undefined ? NOTHING : option.why;
    // How certificates are verified matters by its value, all else by its name.
    if (why !== null)
      parts.push({ what: name === 'verify' ? `verify ${value ?? ''}`.trim() : name, why, line });
  }
  return parts;
}

/** One line for each reason, at the first place where it applies. */
function noteByReason(importing: Importing, parts: readonly LeftOut[]): void {
  for (const why of new Set(parts.map((part) => part.why)))
    importing.leaveOutAll(
      parts.filter((part) => part.why === why),
      why,
    );
}

/** Lines that are read elsewhere, or say what kube-vrrp does anyway. */
const READ = new Set([
  ...['bind', 'server', 'server-template', 'default-server', 'default_backend', 'description', 'enabled'],
]);

const IDLE =
  'kube-vrrp ends no connection because it is idle; proxy.maxConnectionAge ends old ones at a moment when they are';
const LIMITS =
  'see proxy.allowedSources, proxy.maxConnections and proxy.acceptRate for what kube-vrrp can limit';
const OWN_LOG = 'kube-vrrp writes its own log (log.level, log.format) and /metrics';
const OWN_CHECK = `kube-vrrp asks GET ${DEFAULT_PATH} over TLS (health.path), and any 2xx is healthy`;

/** By the first words of a line, the longer ones first. */
const LINES: readonly (readonly [start: RegExp, why: string | null])[] = [
  [/^mode tcp$/, null],
  [/^mode /, UNWRAPPED],
  [/^option httpchk/, null],
  [/^http-check (?:connect|send)/, null],
  [/^http-check expect status 200$/, null],
  [/^http-check|^tcp-check|^option (?:ssl-hello-chk|tcp-check|\w+-check|smtpchk)/, OWN_CHECK],
  [/^timeout check/, "kube-vrrp's own is 2s (health.timeout)"],
  [/^timeout connect/, 'kube-vrrp tries another API server after 2 s'],
  [/^timeout /, IDLE],
  [/^balance /, ALIKE],
  [/^(?:acl|tcp-request|http-request|use_backend|maxconn|rate-limit)/, LIMITS],
  [/^log|^option (?:tcplog|httplog|dontlognull|dontlog-normal|log-)|^no log/, OWN_LOG],
  [/^retries|^option redispatch/, 'kube-vrrp tries each API server that is up before it gives up'],
  [/^option (?:http|forwardfor|forceclose|prefer-last)|^http-/, UNWRAPPED],
  [/^stats|^monitor/, 'kube-vrrp status and /metrics say what it shows'],
  [/^email-alert/, 'kube-vrrp sends no mail; see /metrics'],
];

/** Every further line of what becomes kube-vrrp's proxy, so that nothing of it is lost without a word. */
function noteRest(importing: Importing, sections: readonly Section[], proxy: Proxy): void {
  const bySection = proxy.sections.map((section) => {
    const lines = [...defaultsOf(section, sections), ...section.lines];
    const lastMode = lines.findLast(({ words: [keyword] }) => keyword === 'mode');
    return lines.filter((line) => line.words[0] !== 'mode' || line === lastMode);
  });
  const parts = [...new Set(bySection.flat())].flatMap(({ words, line }) => {
    const [keyword = ''] = words;
    const text = words.join(' ');
    const [, why] = LINES.find(([start]) => start.test(text)) ?? [null, NOTHING];
    if (READ.has(keyword) || why === null) return [];
    const isPair = /^(?:option|timeout|http-check|tcp-check|stats|no|mode)$/.test(keyword);
    return [{ what: isPair ? words.slice(0, 2).join(' ') : keyword, why, line }];
  });
  noteByReason(importing, parts);
}

/** Why whole sections have no place here. */
const SECTION_REASONS: Readonly<Record<string, string>> = {
  global: 'it is about the haproxy process itself',
  resolvers: 'kube-vrrp asks no name server',
};

function whySection({ kind, lines }: Section): string {
  const isStats = lines.some(({ words: [keyword] }) => keyword === 'stats' || keyword === 'monitor-uri');
  if (isStats && kind !== 'global') return 'kube-vrrp status, /metrics and /livez say what it shows';
  return SECTION_REASONS[kind] ?? 'it is not about the API servers, and is gone when haproxy is';
}

function noteSections(importing: Importing, sections: readonly Section[], { sections: used }: Proxy): void {
  for (const section of sections) {
    const { kind, name, line, lines } = section;
    if (used.includes(section) || kind === 'defaults' || lines.length === 0) continue;
    importing.leaveOut(`${kind} ${name}`.trim(), whySection(section), line);
  }
}
