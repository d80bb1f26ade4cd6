/** From the manifest of a kube-vip pod to the VIP and its interface. Pure. */
import { isMap, isScalar, isSeq, LineCounter, parseAllDocuments, type YAMLMap } from 'yaml';

import type { ConfigFile } from '../config/file.ts';
import { parseIp } from '../ip/address.ts';
import { type Imported, Importing } from './imported.ts';

/** A static pod has its containers at the top, a DaemonSet in its template. */
const CONTAINERS = [
  ['spec', 'containers'],
  ['spec', 'template', 'spec', 'containers'],
];
const API_SERVER_PORT = 6443;

/** Without a container that has the variables of kube-vip, it says so and has no values. */
export function importKubeVip(file: ConfigFile): Imported {
  const importing = new Importing(file.name);
  const variables = readVariables(importing, file.text);
  if (variables === null) return importing;
  const address = variables.get('address') ?? variables.get('vip_address');
  if (address === undefined) importing.find('has no variable address, so nothing of it is used', null);
  else importAddresses(importing, address);
  const link = variables.get('vip_interface');
  if (link !== undefined && link.text !== '') importing.set('interface', link.text, link.line);
  importPorts(importing, variables);
  noteFeatures(importing, variables);
  if (address !== undefined) noteRest(importing, variables);
  return importing;
}

/** One address or two with a comma between them, each perhaps with a prefix length. */
function importAddresses(importing: Importing, { text, line }: Variable): void {
  const items = text.split(',').map((item) => item.trim());
  const addresses = items.map((item) => parseIp(item.replace(/\/\d+$/, '')));
  if (addresses.includes(null)) {
    const why = 'kube-vrrp asks no name server, so give the VIP by --vip';
    importing.leaveOut(`address ${text}`, why, line);
    return;
  }
  const vips = addresses.flatMap((vip) => (vip === null ? [] : [vip]));
  const [first] = vips;
  if (first === undefined) return;
  importing.set('vip', vips.length === 1 ? first.text : vips.map((vip) => vip.text), line);
  for (const [index, vip] of vips.entries()) {
    const [prefix] = /\/\d+$/.exec(items[index] ?? '') ?? [];
    const whole = `/${vip.octets.length * 8}`;
    if (prefix === undefined || prefix === whole) continue;
    importing.leaveOut(prefix, `kube-vrrp adds the VIP by itself, as ${whole}`, line);
  }
}

type Variable = { readonly text: string; readonly line: number };

/** The environment of all containers together; null when the text is no YAML. */
function readVariables(importing: Importing, text: string): ReadonlyMap<string, Variable> | null {
  const variables = new Map<string, Variable>();
  const lineCounter = new LineCounter();
  const lineAt = (offset: number): number => lineCounter.linePos(offset).line;
  for (const document of parseAllDocuments(text, { prettyErrors: false, lineCounter })) {
    const [error] = document.errors;
    if (error !== undefined) {
      importing.find(`is no YAML, so nothing of it is used: ${error.message}`, lineAt(error.pos[0]));
      return null;
    }
    for (const item of CONTAINERS.flatMap((path) => environment(document.getIn(path)))) {
      const value = item.get('value', true);
      if (!isScalar(value)) continue;
      const variable = { text: String(value.value), line: lineAt(value.range?.[0] ?? 0) };
      variables.set(String(item.get('name')), variable);
    }
  }
  return variables;
}

/** The entries of the containers' `env` lists. */
function environment(containers: unknown): YAMLMap[] {
  return itemsOf(containers).flatMap((container) => itemsOf(container.get('env')));
}

function itemsOf(list: unknown): YAMLMap[] {
  return isSeq(list) ? list.items.filter((item) => isMap(item)) : [];
}

function importPorts(importing: Importing, variables: ReadonlyMap<string, Variable>): void {
  const port = variables.get('port');
  if (port === undefined) return;
  const number = Number(port.text);
  if (number !== API_SERVER_PORT) importing.set('proxy.backendPort', number, port.line);
  const text = `the endpoint's port changes: kube-vip leads VIP:${port.text} to the API server of its holder, kube-vrrp serves proxy.port on the VIP and passes clients on to port ${port.text} of all nodes`;
  importing.find(text, port.line);
}

function noteFeatures(importing: Importing, variables: ReadonlyMap<string, Variable>): void {
  const note = (name: string, why: string): void => {
    const variable = variables.get(name);
    if (variable?.text === 'true') importing.leaveOut(name, why, variable.line);
  };
  note(
    'svc_enable',
    'kube-vrrp serves the control plane only; keep kube-vip for Services, with cp_enable false',
  );
  note('bgp_enable', 'kube-vrrp moves the VIP within one network segment, by VRRP');
  note(
    'enable_node_labeling',
    'kube-vrrp asks the API for nothing; kube-vrrp status and /metrics say who holds the VIP',
  );
}

/** Variables that are read above, or say what kube-vrrp does anyway. */
const READ = new Set([
  ...['address', 'vip_address', 'vip_interface', 'port', 'svc_enable', 'bgp_enable', 'enable_node_labeling'],
  ...['vip_arp', 'cp_enable', 'cp_namespace', 'vip_nodename', 'vip_preserve_on_leadership_loss'],
]);

/** Lengths that mean the address alone; kube-vip has had both names. */
const WHOLE_SUBNETS = /^(?:auto|\/?(?:32|128))(?:,(?:auto|\/?(?:32|128)))*$/;

/** All other variables that are not off, so that nothing is lost without a word. */
function noteRest(importing: Importing, variables: ReadonlyMap<string, Variable>): void {
  const others = [...variables].flatMap(([what, { text, line }]) => {
    const isWhole = /^vip_(?:subnet|cidr)$/.test(what) && WHOLE_SUBNETS.test(text);
    return READ.has(what) || text === 'false' || text === '' || isWhole ? [] : [{ what, line }];
  });
  const isElection = ({ what }: { what: string }): boolean =>
    /^vip_(?:leader|lease|renew|retry)|^plndr_/.test(what);
  importing.leaveOutAll(others.filter(isElection), 'kube-vrrp elects the holder by VRRP, without a lease');
  importing.leaveOutAll(
    others.filter((other) => !isElection(other)),
    'kube-vrrp has no counterpart',
  );
}
