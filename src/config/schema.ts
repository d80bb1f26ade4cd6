/**
 * The one place where a configuration field is defined: its key, default, what it accepts and what it does. Flags,
 * variables, help texts, the reference table and the JSON Schema all follow from it. Pure.
 */
import * as z from 'zod';

import { MAX_PRIORITIES } from '../vrrp/priority.ts';
import {
  addressList,
  addressPerFamily,
  choice,
  duration,
  linkName,
  listenAddress,
  networkList,
  numberChoice,
  senderList,
  socketPath,
  textLike,
  wholeNumber,
  wordOrNumber,
  type Kind,
} from './kinds.ts';

type Notes = {
  readonly accepts: string;
  readonly fromText: (text: string) => unknown;
  readonly description: string;
  /** The default as people write it; null where there is none. */
  readonly defaultText: string | null;
};

const notes = z.registry<Notes>();

/** A field that must be given. */
function required<Schema extends z.ZodType>(kind: Kind<Schema>, description: string): Schema {
  const schema = kind.schema.meta({ description });
  notes.add(schema, { accepts: kind.accepts, fromText: kind.fromText, description, defaultText: null });
  return schema;
}

/** A field that may be left out without a value taking its place; `otherwise` says what happens then. */
function optional<Schema extends z.ZodType>(kind: Kind<Schema>, otherwise: string, description: string) {
  const schema = z.optional(kind.schema).meta({ description });
  notes.add(schema, { accepts: kind.accepts, fromText: kind.fromText, description, defaultText: otherwise });
  return schema;
}

/** A field with a default, which is written as in a file. `defaultText` is for people, where that says too little. */
function withDefault<Schema extends z.ZodType>(
  kind: Kind<Schema>,
  value: z.input<Schema>,
  description: string,
  defaultText = value === '' ? 'off' : String(value),
) {
  const schema = z.prefault(kind.schema, value).meta({ description });
  notes.add(schema, { accepts: kind.accepts, fromText: kind.fromText, description, defaultText });
  return schema;
}

function group<Shape extends z.ZodRawShape>(description: string, shape: Shape) {
  // Every field of a group has a default or none is needed, so an absent group is an empty one.
  return z.prefault(z.strictObject(shape), {} as never).meta({ description });
}

const vrrp = group('The election.', {
  vrid: withDefault(
    wholeNumber(1, 255),
    51,
    'Virtual router ID: the same on all nodes of the cluster, and used by nothing else on the network segment.',
  ),
  version: withDefault(
    numberChoice(3, 2),
    3,
    'VRRP version. 2 is for meeting old IPv4 routers: whole seconds, and no IPv6.',
  ),
  priority: withDefault(
    wordOrNumber('auto', 1, MAX_PRIORITIES),
    'auto',
    'auto gives every node a priority of its own, by its place in peers, which is therefore the same list on all nodes. A number orders the nodes within each health class: 130 + 4 * number is advertised in class A, 65 + 2 * number in class B, 32 + number in class U, and the number itself in class C. Give every node a different one, and leave gaps (30, 20, 10): a higher number takes over sooner.',
  ),
  advertisementInterval: withDefault(
    duration(10, 255_000),
    '100ms',
    'Time between advertisements; a lost node is noticed after a little more than three of them. Version 3: 10ms to 40.95s in steps of 10ms. Version 2: 1s to 255s in whole seconds.',
    '100ms; 1s in version 2',
  ),
  preempt: withDefault(
    choice('never', 'unhealthy', 'always'),
    'unhealthy',
    'When a node of higher priority takes the VIP from the node that has it: never; unhealthy, only when that one has no healthy API server (class C) or can verify none (class U); or always. Every move resets the connections of all clients.',
  ),
  preemptDelay: withDefault(
    duration(0, 3_600_000),
    '0s',
    'How long a node that may take the VIP from a living holder waits first. Has no place beside preempt: never.',
  ),
  transport: withDefault(
    choice('multicast', 'unicast'),
    'multicast',
    'multicast to the network segment, or unicast to the other nodes where multicast is not carried.',
  ),
  senders: withDefault(
    senderList(255),
    [],
    'The addresses that all control-plane nodes, this one included, send VRRP from where these are not in peers; it is believed from no other. These are the link-local addresses with IPv6 multicast (give the interfaces fixed ones first), and those on the network of the VIP where peers are addresses of another network.',
    'those in peers; where VRRP cannot be sent from them, any host of the link is believed',
  ),
  checksum: withDefault(
    choice('pseudo-header', 'message'),
    'pseudo-header',
    'What the checksum of a version 3 IPv4 advertisement covers when sent: with the pseudo-header as keepalived and FRR do, or the message alone as in RFC 9568. Both are accepted from others.',
  ),
  authPass: optional(
    textLike(/^[!-~]{1,8}$/, '1 to 8 printable ASCII characters without spaces'),
    'none',
    'Simple text password of version 2, for peers that want one. It crosses the network in the clear and protects nothing.',
  ),
});

const proxy = group('The TCP proxy in front of the API servers.', {
  port: withDefault(
    wholeNumber(1, 65_535),
    36_443,
    'Port that the proxy listens on, on all addresses of the node and so on the VIP: the port of controlPlaneEndpoint.',
  ),
  backendPort: withDefault(wholeNumber(1, 65_535), 6443, 'Port of the API server on every peer.'),
  workers: withDefault(
    wholeNumber(1, 16),
    1,
    'Proxy threads. One serves thousands of clients; more help only with a lot of traffic on spare cores.',
  ),
  maxConnections: withDefault(
    wordOrNumber('auto', 1, 1_000_000),
    'auto',
    'Most clients at a time; further ones are reset. auto is what the limit on open files allows, at two for each client, and the memory limit of the container, at 7 KiB.',
  ),
  maxConnectionsPerSource: withDefault(
    wholeNumber(0, 1_000_000),
    0,
    'Most clients at a time from one address; 0 is no limit. Pods behind one node share its address.',
    '0, no limit',
  ),
  allowedSources: withDefault(
    networkList(64),
    [],
    'Networks whose hosts may connect; all others are reset. Include the nodes, whatever runs on them, and load balancers.',
    'everybody',
  ),
  acceptRate: withDefault(
    wholeNumber(0, 1_000_000),
    0,
    'Most new clients a second; faster ones wait to be accepted. 0 is no limit.',
    '0, no limit',
  ),
  maxConnectionAge: withDefault(
    duration(0, 604_800_000),
    '0s',
    'Close connections that are older than this, give or take a tenth, at a moment when they are idle, so that clients spread over API servers that have returned. 0s is never. The API servers can do this themselves, more gently, with --goaway-chance.',
    '0s, never',
  ),
});

const health = group('How API servers are checked. Every node checks those of all peers.', {
  path: withDefault(
    textLike(/^\/[!-~]{0,254}$/, 'a path that starts with / and has no spaces'),
    '/healthz',
    'Path of the HTTPS request. Any 2xx answer is healthy; 401 and 403 count as alive but are reported. A healthy API server whose /readyz fails gets no new clients.',
  ),
  interval: withDefault(duration(100, 60_000), '1s', 'Time between checks of one API server.'),
  timeout: withDefault(
    duration(100, 60_000),
    '2s',
    'Longest time a check may take, connecting and TLS included.',
  ),
  rise: withDefault(
    wholeNumber(1, 100),
    2,
    'Good checks in a row after which a failed API server is healthy again.',
  ),
  fall: withDefault(wholeNumber(1, 100), 3, 'Failed checks in a row after which an API server is down.'),
  caFile: withDefault(
    textLike(/^[^\0]{1,4096}$/, 'the path of a PEM file'),
    '/etc/kubernetes/pki/ca.crt',
    'CA certificate that the API servers are verified with: the cluster CA, or several while it is rotated. Read again each minute.',
  ),
  clientCertFile: optional(
    textLike(/^[^\0]{1,4096}$/, 'the path of a PEM file'),
    'none',
    'Client certificate for the checks, where API servers refuse anonymous requests (--anonymous-auth=false). Read again each minute, with its key, so that a renewed one is used without a restart.',
  ),
  clientKeyFile: optional(
    textLike(/^[^\0]{1,4096}$/, 'the path of a PEM file'),
    'none',
    'Private key of health.clientCertFile.',
  ),
});

const admin = group('Endpoints for people and monitoring.', {
  address: withDefault(
    listenAddress(),
    '127.0.0.1:10480',
    'Address and port for /metrics, /livez, /readyz and /status; "" turns them off.',
  ),
  socket: withDefault(
    socketPath(),
    '/run/kube-vrrp/control.sock',
    'Unix socket for the drain and undrain commands; "" turns it off.',
  ),
});

const log = group('What is written to standard output.', {
  level: withDefault(choice('debug', 'info', 'warn', 'error'), 'info', 'Lowest level that is written.'),
  format: withDefault(choice('json', 'text'), 'json', 'One JSON object per line, or text for people.'),
});

export const configSchema = z
  .strictObject({
    vip: required(
      addressPerFamily(),
      'The virtual IP address: an IPv4, an IPv6, or one of each. It lies in a subnet of the interface and belongs to no host.',
    ),
    interface: optional(
      linkName(),
      "found from the VIP's subnet, else from the default route",
      'Network interface that the VIP is bound on and VRRP is spoken on.',
    ),
    peers: required(
      addressList(255),
      'The addresses of all control-plane nodes, this one included, in the same order on every node: one file fits all.',
    ),
    vrrp,
    proxy,
    health,
    admin,
    log,
  })
  .meta({ title: 'kube-vrrp configuration' });

export type ConfigValues = z.output<typeof configSchema>;

export type ConfigField = Notes & {
  /** The key in the file, with its group: `vrrp.vrid`. */
  readonly path: string;
  /** The flag without its dashes: `vrrp-vrid`. */
  readonly flag: string;
  /** The environment variable: `KUBE_VRRP_VRRP_VRID`. */
  readonly env: string;
  readonly required: boolean;
  readonly schema: z.ZodType;
};

/** What every variable of the configuration starts with. */
export const ENV_PREFIX = 'KUBE_VRRP_';

function makeField(path: string, schema: z.ZodType): ConfigField {
  const note = notes.get(schema);
  if (note === undefined) throw new Error(`field ${path} was not made by required, optional or withDefault`);
  const flag = path.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).replaceAll('.', '-');
  const env = ENV_PREFIX + flag.replaceAll('-', '_').toUpperCase();
  return { ...note, path, flag, env, required: note.defaultText === null, schema };
}

function listFields(): ConfigField[] {
  return Object.entries(configSchema.shape).flatMap(([key, schema]) => {
    const inner: unknown = schema instanceof z.ZodPrefault ? schema.unwrap() : schema;
    if (!(inner instanceof z.ZodObject)) return [makeField(key, schema)];
    return Object.entries(inner.shape).map(([name, leaf]) => makeField(`${key}.${name}`, leaf as z.ZodType));
  });
}

/** All fields, in the order of the schema. */
export const CONFIG_FIELDS: readonly ConfigField[] = listFields();

/** Names of the groups, such as `vrrp`. */
export const CONFIG_GROUPS: readonly string[] = [
  ...new Set(
    CONFIG_FIELDS.filter(({ path }) => path.includes('.')).map(({ path }) => path.split('.')[0] ?? ''),
  ),
];
