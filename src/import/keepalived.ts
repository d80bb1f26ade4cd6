/** From a keepalived.conf(5), as kubeadm's guide has it or by one's own taste, to a configuration. Pure. */
import { formatDuration } from '../config/duration.ts';
import type { ConfigFile } from '../config/file.ts';
import { type Family, isLinkLocal, type IpAddress, parseIp } from '../ip/address.ts';
import { type Imported, Importing } from './imported.ts';
import { readStatements, type Statement } from './keepalived-syntax.ts';

/** keepalived's own defaults. */
const DEFAULT_VERSION = 2;
const DEFAULT_ADVERTISEMENT_MS = 1000;
/** A password of VRRP version 2 is eight octets; keepalived takes the first ones of a longer one. */
const PASSWORD_CHARACTERS = 8;

/** Keywords of a vrrp_instance that need nothing said: read elsewhere, or done by kube-vrrp in its own way. */
const SILENT = new Set([
  'accept',
  'authentication',
  'advert_int',
  'interface',
  'native_ipv6',
  'unicast_peer',
  'unicast_src_ip',
  'unicast_ttl',
  'version',
  'virtual_ipaddress',
  'virtual_router_id',
]);

/** Why others are left out. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  priority:
    'by vrrp.priority: auto each node has one of its own, from its place in peers, so that one file fits all',
  nopreempt: 'by vrrp.preempt: unhealthy the VIP stays where it is unless its holder has no API server left',
  preempt_delay: 'the VIP does not move back by itself; vrrp.preemptDelay is for vrrp.preempt: always',
  track_script: 'kube-vrrp checks the API servers itself (health)',
  track_interface: 'kube-vrrp follows the interface that the VIP is on, and no other',
  track_process: 'kube-vrrp checks the API servers itself (health)',
  track_file: 'kube-vrrp drain hands the VIP over by hand',
  use_vmac: "kube-vrrp announces the interface's own MAC address",
  virtual_ipaddress_excluded:
    'kube-vrrp has one IPv4 and one IPv6 VIP, each elected by itself; give both by --vip',
  virtual_routes: 'kube-vrrp sets no routes',
  virtual_rules: 'kube-vrrp sets no rules',
  strict_mode: 'kube-vrrp always refuses what the RFC has a router discard',
  state: 'every node begins as Backup, and the VIP stays where it is',
  smtp_alert: 'kube-vrrp sends no mail; each move is a line of its log, and in /metrics',
  dont_track_primary: 'kube-vrrp leaves the election while its interface is down',
  debug: 'log.level: debug has the same purpose',
};

/** Statements beside the instances: why they have no place here. */
const TOP_LEFT_OUT: Readonly<Record<string, string>> = {
  vrrp_script: 'kube-vrrp checks the API servers itself (health)',
  vrrp_track_process: 'kube-vrrp checks the API servers itself (health)',
  vrrp_track_file: 'kube-vrrp drain hands the VIP over by hand',
  virtual_server: "kube-vrrp's proxy takes the place of IPVS",
  virtual_server_group: "kube-vrrp's proxy takes the place of IPVS",
  vrrp_sync_group: 'an IPv4 and an IPv6 VIP are elected each by itself',
};

/** Without a virtual router of its own, or with more than can be told apart, it says so and has no values. */
export function importKeepalived(file: ConfigFile): Imported {
  const importing = new Importing(file.name);
  const statements = readStatements(file.text);
  for (const statement of statements) {
    noteForm(importing, statement);
    noteTop(importing, statement);
  }
  const instances = statements.filter(({ keyword, block }) => keyword === 'vrrp_instance' && block !== null);
  const [first, ...others] = instances;
  if (first === undefined) importing.find('has no vrrp_instance, so nothing of it is used', null);
  else if (others.length > 0 && !isPair(instances)) {
    const names = instances.map(({ words }) => words[0] ?? '').join(', ');
    const text = `has the instances ${names}, and one kube-vrrp has one virtual router for each IP version, of the same VRID, interface, interval and transport: leave the one for the API servers in the file, and run this again`;
    importing.find(text, null);
  } else {
    const globals = statements.flatMap(({ keyword, block }) =>
      keyword === 'global_defs' ? (block ?? []) : [],
    );
    noteGlobals(importing, globals);
    importInstances(importing, instances, globals);
  }
  return importing;
}

/** What may stand at any depth and is not read, so that what it says is missing; and what else is done otherwise. */
function noteForm(importing: Importing, { keyword, words, line, block }: Statement): void {
  for (const statement of block ?? []) noteForm(importing, statement);
  if (keyword === 'include')
    importing.find(`include ${words.join(' ')} is not followed: give one file with all of it`, line);
  else if (keyword.startsWith('@')) importing.find('lines with a condition (@) are not read', line);
  else if (keyword.startsWith('~')) importing.find('repetitions (~) are not read', line);
  else if ([keyword, ...words].some((word) => word.startsWith('$'))) {
    importing.find('definitions ($) are not replaced, so what is said by one is not used', line);
  }
}

/** What stands beside the instances. */
function noteTop(importing: Importing, { keyword, words, line }: Statement): void {
  if (keyword === 'vrrp_instance' || keyword === 'global_defs' || isForm(keyword)) return;
  const what = [keyword, ...words].join(' ');
  importing.leaveOut(what, TOP_LEFT_OUT[keyword] ?? whyUnknown(keyword), line);
}

/** What noteForm speaks of. */
function isForm(keyword: string): boolean {
  return /^(?:[@~$]|include)/.test(keyword);
}

/** Of what holds for all instances, what decides who hears whom; the rest is one line. */
function noteGlobals(importing: Importing, globals: readonly Statement[]): void {
  const others: { what: string; line: number }[] = [];
  for (const { keyword, line } of globals) {
    if (keyword === 'vrrp_version' || keyword === 'vrrp_strict' || isForm(keyword)) continue;
    if (keyword.startsWith('vrrp_mcast_group')) {
      const why = 'kube-vrrp speaks to the group of the RFC, which keepalived nodes have to use first';
      importing.leaveOut(keyword, why, line);
    } else others.push({ what: keyword, line });
  }
  importing.leaveOutAll(others, 'of global_defs, only vrrp_version and vrrp_strict have a counterpart');
}

/** One instance for each IP version that differ in their addresses only: what kube-vrrp makes of two VIPs. */
function isPair(instances: readonly Statement[]): boolean {
  const [a, b] = instances;
  if (a === undefined || b === undefined || instances.length > 2) return false;
  const families = new Set(instances.map(familyOf));
  const same = ['virtual_router_id', 'interface', 'advert_int'].every(
    (keyword) => find(a, keyword)?.words[0] === find(b, keyword)?.words[0],
  );
  const sameTransport = (find(a, 'unicast_peer') === undefined) === (find(b, 'unicast_peer') === undefined);
  return same && sameTransport && families.has('IPv4') && families.has('IPv6');
}

/**
 * The last one of a keyword counts; the entries of several blocks are one list. What is said by a definition does not
 * count.
 */
function find({ block }: Statement, keyword: string): Statement | undefined {
  const found = (block ?? []).filter(
    (statement) => statement.keyword === keyword && !(statement.words[0] ?? '').startsWith('$'),
  );
  const last = found.at(-1);
  const [first] = found;
  if (last === undefined || first === undefined || last.block === null) return last;
  return { ...first, block: found.flatMap((statement) => statement.block ?? []) };
}

type Address = {
  readonly address: IpAddress;
  /** `/24`, where that is not the address alone; null otherwise. */
  readonly prefix: string | null;
  /** Further words, other than those of `dev`. */
  readonly more: readonly string[];
  /** Where another interface than the instance's is named; null otherwise. */
  readonly device: string | null;
  readonly line: number;
};

/** What virtual_ipaddress lists. Over IPv6 a link-local address may stand first, as RFC 9568 wants it. */
function listedAddresses(instance: Statement): Address[] {
  const entries = find(instance, 'virtual_ipaddress')?.block ?? [];
  const link = find(instance, 'interface')?.words[0];
  return entries.flatMap(({ keyword, words, line }) => {
    const [, prefix = null] = /(\/\d+)$/.exec(keyword) ?? [];
    const address = parseIp(keyword.replace(/\/\d+$/, ''));
    if (address === null) return [];
    const deviceAt = words.indexOf('dev');
    const named = deviceAt === -1 ? null : (words[deviceAt + 1] ?? null);
    const more = deviceAt === -1 ? words : words.toSpliced(deviceAt, 2);
    const isWhole = prefix === `/${address.octets.length * 8}`;
    const device = named === link ? null : named;
    return [{ address, prefix: isWhole ? null : prefix, device, more, line }];
  });
}

/** Without link-local ones, of which kube-vrrp has none. */
function addressesOf(instance: Statement): Address[] {
  return listedAddresses(instance).filter(({ address }) => !isLinkLocal(address));
}

function familyOf(instance: Statement): Family | undefined {
  return addressesOf(instance)[0]?.address.family;
}

function importInstances(
  importing: Importing,
  instances: readonly Statement[],
  globals: readonly Statement[],
): void {
  const vips = instances.flatMap((instance) => importAddresses(importing, instance));
  const [vip] = vips;
  if (vip !== undefined) {
    const texts = vips.map(({ address }) => address.text);
    importing.set('vip', texts.length === 1 ? vip.address.text : texts, vip.line);
  }
  const peers = new Map<string, number>();
  for (const instance of instances) {
    importVridAndInterface(importing, instance);
    importElection(
      importing,
      instance,
      globals,
      vips.some(({ address }) => address.family === 'IPv6'),
    );
    for (const [peer, line] of importUnicast(importing, instance)) peers.set(peer, line);
    for (const { keyword, line } of instance.block ?? []) noteKeyword(importing, keyword, line);
  }
  const [firstLine] = peers.values();
  if (firstLine !== undefined) importing.set('peers', [...peers.keys()], firstLine);
}

const OTHER_LIST = 'keepalived before 2.3.3 does not hear who has another list than its own';

/** The first one of an instance: more have no place, and are said. */
function importAddresses(importing: Importing, instance: Statement): Address[] {
  for (const { address, line } of listedAddresses(instance)) {
    if (!isLinkLocal(address)) continue;
    const why = `kube-vrrp has no link-local address, and ${OTHER_LIST}, so take it out there first`;
    importing.leaveOut(address.text, why, line);
  }
  const [first, ...others] = addressesOf(instance);
  if (first === undefined) {
    const text = 'virtual_ipaddress has no address that is one, so the VIP has to be given by --vip';
    importing.find(text, instance.line);
    return [];
  }
  if (first.device !== null) {
    const why = 'kube-vrrp has the VIP on the interface that it speaks VRRP on';
    importing.leaveOut(`dev ${first.device}`, why, first.line);
  }
  if (first.prefix !== null) {
    const why = `kube-vrrp adds the VIP by itself, as /${first.address.octets.length * 8}; its subnet is that of the node's own address`;
    importing.leaveOut(first.prefix, why, first.line);
  }
  if (first.more.length > 0)
    importing.leaveOut(first.more.join(' '), 'kube-vrrp adds the VIP without that', first.line);
  for (const { address, line } of others) {
    const why = `a virtual router has one address here, and ${OTHER_LIST}, so leave that one alone on all nodes first`;
    importing.leaveOut(address.text, why, line);
  }
  return [first];
}

function importVridAndInterface(importing: Importing, instance: Statement): void {
  const vrid = find(instance, 'virtual_router_id');
  if (vrid !== undefined) importing.set('vrrp.vrid', numberIn(vrid), vrid.line);
  else
    importing.find(
      'virtual_router_id is missing, so vrrp.vrid is 51: give another one by --vrrp-vrid',
      instance.line,
    );
  const link = find(instance, 'interface');
  if (link !== undefined) importing.set('interface', link.words[0] ?? '', link.line);
}

/** What is no number stays as it is, for the configuration's own check to refuse. */
function numberIn({ words: [word = ''] }: Statement): string | number {
  return /^\d+(?:\.\d+)?$/.test(word) ? Number(word) : word;
}

function importElection(
  importing: Importing,
  instance: Statement,
  globals: readonly Statement[],
  hasIpv6: boolean,
): void {
  const said = find(instance, 'version') ?? globals.find(({ keyword }) => keyword === 'vrrp_version');
  // Of IPv6 there is version 3 alone.
  const ownVersion = said === undefined ? DEFAULT_VERSION : numberIn(said);
  const version = hasIpv6 ? 3 : ownVersion;
  if (version !== ownVersion && familyOf(instance) === 'IPv4') {
    const text =
      'the IPv4 VIP gets version 3, as the IPv6 one needs it: give keepalived vrrp_version 3 first';
    importing.find(text, said?.line ?? instance.line);
  }
  if (said === undefined || version !== ownVersion)
    importing.setDefault('vrrp.version', version, instance.line);
  else importing.set('vrrp.version', version, said.line);
  importInterval(importing, instance);
  const authentication = find(instance, 'authentication');
  const strict = find(instance, 'strict_mode') ?? globals.find(({ keyword }) => keyword === 'vrrp_strict');
  const mode = strict === undefined ? version : 'strict';
  if (authentication !== undefined) importPassword(importing, authentication, mode);
}

function importInterval(importing: Importing, instance: Statement): void {
  const path = 'vrrp.advertisementInterval';
  const statement = find(instance, 'advert_int');
  if (statement === undefined) {
    importing.setDefault(path, formatDuration(DEFAULT_ADVERTISEMENT_MS), instance.line);
    return;
  }
  const seconds = numberIn(statement);
  const text = typeof seconds === 'number' ? formatDuration(Math.round(seconds * 1000)) : seconds;
  importing.set(path, text, statement.line);
}

function importPassword(importing: Importing, authentication: Statement, mode: string | number): void {
  const { line } = authentication;
  const type = find(authentication, 'auth_type')?.words[0];
  const password = find(authentication, 'auth_pass');
  const leaveOut = (why: string): void => importing.leaveOut('authentication', why, line);
  if (mode === 'strict') leaveOut('in strict mode keepalived ignores it');
  else if (mode !== 2) leaveOut('version 3 has none, and keepalived ignores it there');
  else if (type === 'AH') {
    const why = 'kube-vrrp knows PASS only, so give the keepalived nodes that first';
    importing.leaveOut('auth_type AH', why, line);
  } else if (type !== 'PASS') leaveOut('it has no auth_type PASS, so keepalived uses none');
  else if (password !== undefined) {
    importing.set('vrrp.authPass', (password.words[0] ?? '').slice(0, PASSWORD_CHARACTERS), password.line);
  }
}

/** Addresses of nodes with the lines they stand on: of the others, and of this one where the file has it. */
function importUnicast(importing: Importing, instance: Statement): Map<string, number> {
  const list = find(instance, 'unicast_peer');
  if (list === undefined) return new Map();
  importing.set('vrrp.transport', 'unicast', list.line);
  const hopLimit = find(instance, 'unicast_ttl');
  const isIpv6 = familyOf(instance) === 'IPv6';
  if (hopLimit === undefined ? isIpv6 : hopLimit.words[0] !== '255') {
    const text =
      'keepalived sends with another hop limit than 255, which RFC 9568 has everybody drop: set unicast_ttl 255 on all nodes first';
    importing.find(text, hopLimit?.line ?? list.line);
  }
  const source = find(instance, 'unicast_src_ip');
  if (source === undefined) {
    importing.find(
      "unicast_src_ip is missing: add this node's own address to peers, as all nodes are listed there",
      list.line,
    );
  }
  const own = source === undefined ? [] : [[source.words[0] ?? '', source.line] as const];
  return new Map([...own, ...(list.block ?? []).map(({ keyword, line }) => [keyword, line] as const)]);
}

function noteKeyword(importing: Importing, keyword: string, line: number): void {
  if (SILENT.has(keyword) || isForm(keyword)) return;
  importing.leaveOut(keyword, LEFT_OUT[keyword] ?? whyUnknown(keyword), line);
}

function whyUnknown(keyword: string): string {
  if (keyword.startsWith('garp_')) return 'kube-vrrp announces the VIP at times of its own';
  return keyword.startsWith('notify')
    ? 'kube-vrrp starts no programs; each move is a line of its log, and in /metrics'
    : 'kube-vrrp has nothing that corresponds to it';
}
