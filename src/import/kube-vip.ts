/** From the manifest of a kube-vip pod to the VIP and its interface. Pure. */
import { isMap, isScalar, isSeq, parseAllDocuments } from 'yaml';

import { parseIp } from '../ip/address.ts';
import { type Imported, Importing, type SourceFile } from './imported.ts';

/** A static pod has its containers at the top, a DaemonSet in its template. */
const CONTAINERS = [
  ['spec', 'containers'],
  ['spec', 'template', 'spec', 'containers'],
];
const API_SERVER_PORT = 6443;

/** Without a container that has the variables of kube-vip, it says so and has no values. */
export function importKubeVip(file: SourceFile): Imported {
  const importing = new Importing(file.name);
  const variables = readVariables(importing, file.text);
  if (variables === null) return importing;
  const address = variables.get('address') ?? variables.get('vip_address');
  if (address === undefined) importing.find('has no variable address, so nothing of it is used', null);
  else if (parseIp(address.text) !== null) importing.set('vip', address.text, address.line);
  else {
    importing.find(
      `address ${address.text} is left out: kube-vrrp asks no name server, so give the VIP by --vip`,
      address.line,
    );
  }
  const link = variables.get('vip_interface');
  if (link !== undefined && link.text !== '') importing.set('interface', link.text, link.line);
  importPorts(importing, variables);
  noteFeatures(importing, variables);
  return importing;
}

type Variable = { readonly text: string; readonly line: number };

/** The environment of the first container that has one; null when the text is no YAML. */
function readVariables(importing: Importing, text: string): ReadonlyMap<string, Variable> | null {
  const variables = new Map<string, Variable>();
  for (const document of parseAllDocuments(text, { prettyErrors: false })) {
    const [error] = document.errors;
    if (error !== undefined) {
      importing.find(`is no YAML, so nothing of it is used: ${error.message}`, lineAt(text, error.pos[0]));
      return null;
    }
    for (const path of CONTAINERS) {
      for (const [name, value] of environment(document.getIn(path))) variables.set(name, value);
    }
  }
  return variables;

  function* environment(containers: unknown): Generator<[string, Variable]> {
    if (!isSeq(containers)) return;
    for (const container of containers.items) {
      const list = isMap(container) ? container.get('env') : null;
      for (const item of isSeq(list) ? list.items : []) {
        if (!isMap(item)) continue;
        const value = item.get('value', true);
        if (!isScalar(value)) continue;
        yield [
          String(item.get('name')),
          { text: String(value.value), line: lineAt(text, value.range?.[0] ?? 0) },
        ];
      }
    }
  }
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
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
  const isOn = (name: string): boolean => variables.get(name)?.text === 'true';
  const note = (name: string, text: string): void => {
    if (isOn(name)) importing.find(`${name} is left out: ${text}`, variables.get(name)?.line ?? null);
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
