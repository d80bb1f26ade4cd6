/** The kinds of value a configuration field can have: what each accepts, in words and as a schema. Pure. */
import * as z from 'zod';

import { isLinkLocal, parseIp, type IpAddress } from '../ip/address.ts';
import { DURATION_PATTERN, formatDuration, parseDuration } from './duration.ts';

export type Kind<Schema extends z.ZodType> = {
  readonly schema: Schema;
  /**
   * What is accepted, as the end of the sentence "expected ...". Every error of the schema says this or something
   * closer.
   */
  readonly accepts: string;
  /** Turns the text of a flag or variable into the value that a file would have. */
  readonly fromText: (text: string) => unknown;
};

const asIs = (text: string): unknown => text;
const asNumber = (text: string): unknown => (/^\d{1,15}$/.test(text) ? Number(text) : text);
const asList = (text: string): unknown => text.split(',').map((item) => item.trim());
const listOrNone = (text: string): unknown => (text === '' ? [] : asList(text));

export function wholeNumber(min: number, max: number) {
  const accepts = `a whole number from ${min} to ${max}`;
  const schema = z.int({ error: accepts }).min(min, { error: accepts }).max(max, { error: accepts });
  return { schema, accepts, fromText: asNumber } satisfies Kind<typeof schema>;
}

export function choice<const Word extends string>(...words: readonly [Word, ...Word[]]) {
  const accepts = `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
  const schema = z.enum(words, { error: accepts });
  return { schema, accepts, fromText: asIs } satisfies Kind<typeof schema>;
}

export function numberChoice<const Value extends number>(...values: readonly [Value, ...Value[]]) {
  const accepts = `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
  const schema = z.literal([...values], { error: accepts });
  return { schema, accepts, fromText: asNumber } satisfies Kind<typeof schema>;
}

/** `word`, or a whole number in the range. */
export function wordOrNumber<const Word extends string>(word: Word, min: number, max: number) {
  const number = wholeNumber(min, max);
  const accepts = `${word}, or ${number.accepts}`;
  const schema = z.union(
    [z.literal(word), z.int({ error: accepts }).min(min, { error: accepts }).max(max, { error: accepts })],
    { error: accepts },
  );
  return { schema, accepts, fromText: asNumber } satisfies Kind<typeof schema>;
}

/** Text that fits `pattern`; `accepts` says in words what the pattern means. */
export function textLike(pattern: RegExp, accepts: string) {
  const schema = z.string({ error: accepts }).regex(pattern, { error: accepts });
  return { schema, accepts, fromText: asIs } satisfies Kind<typeof schema>;
}

/** A duration text; its value is milliseconds. Both ends are included. */
export function duration(minMs: number, maxMs: number) {
  const accepts = `a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, such as 100ms or 1.5s`;
  const schema = z
    .string({ error: accepts })
    .regex(DURATION_PATTERN, { error: accepts })
    .transform((value, context) => {
      const durationMs = parseDuration(value);
      if (durationMs !== null && durationMs >= minMs && durationMs <= maxMs) return durationMs;
      context.addIssue({ code: 'custom', message: accepts });
      return z.NEVER;
    });
  return { schema, accepts, fromText: asIs } satisfies Kind<typeof schema>;
}

/** Why a packet cannot be sent to this address as to one host, or null when it can. */
function notUnicast(address: IpAddress): string | null {
  const [first = 0, second = 0] = address.octets;
  if (address.octets.every((octet) => octet === 0)) return 'the unspecified address';
  if (isLinkLocal(address)) return 'a link-local address';
  if (address.family === 'IPv6') {
    if (first === 0xff) return 'a multicast address';
    if (address.text === '::1') return 'a loopback address';
    return address.text.startsWith('::ffff:') ? 'an IPv4 address in IPv6 form' : null;
  }
  if (first === 0) return 'an address of "this network"';
  if (first === 127) return 'a loopback address';
  if (first === 169 && second === 254) return 'a link-local address';
  if (first >= 240) return 'a reserved or broadcast address';
  return first >= 224 ? 'a multicast address' : null;
}

const ADDRESS = 'an IPv4 or IPv6 address of one host, without a prefix length';

/** The address, or in words what it should have been. */
function parseHostAddress(value: string): IpAddress | string {
  const address = parseIp(value);
  if (address === null) return ADDRESS;
  const why = notUnicast(address);
  return why === null ? address : `${ADDRESS}; this is ${why}`;
}

/**
 * Parses every item, so that one bad item hides no other; `refuse` looks at each good one beside the good ones before
 * it.
 */
function parseEach(
  values: readonly string[],
  context: z.core.$RefinementCtx<readonly string[]>,
  parse: (value: string) => IpAddress | string,
  refuse: (address: IpAddress, earlier: readonly IpAddress[]) => string | null,
): IpAddress[] {
  const addresses: IpAddress[] = [];
  for (const [index, value] of values.entries()) {
    const parsed = parse(value);
    const message = typeof parsed === 'string' ? parsed : refuse(parsed, addresses);
    if (message !== null) context.addIssue({ code: 'custom', path: [index], message });
    if (typeof parsed !== 'string') addresses.push(parsed);
  }
  return addresses;
}

/** One host address, or a list with one of each family. The value is always a list. */
export function addressPerFamily() {
  const accepts = 'an IPv4 or IPv6 address without a prefix length, or a list with one of each';
  const one = z.string({ error: ADDRESS }).transform((value, context) => {
    const parsed = parseHostAddress(value);
    if (typeof parsed !== 'string') return [parsed];
    context.addIssue({ code: 'custom', message: parsed });
    return z.NEVER;
  });
  const pair = z
    .array(z.string({ error: ADDRESS }), { error: accepts })
    .min(1, { error: accepts })
    .max(2, { error: accepts })
    .transform((values, context) =>
      parseEach(values, context, parseHostAddress, ({ family }, [first]) => {
        if (family !== first?.family) return null;
        return `${family === 'IPv4' ? 'an IPv6' : 'an IPv4'} address beside ${first.text}: one of each family`;
      }),
    );
  const schema = z.union([one, pair], { error: accepts });
  return { schema, accepts, fromText: asList } satisfies Kind<typeof schema>;
}

function refuseRepeated({ text }: IpAddress, earlier: readonly IpAddress[]): string | null {
  return earlier.some((other) => other.text === text) ? 'each address once' : null;
}

/** A list of distinct host addresses. */
export function addressList(max: number) {
  const accepts = `a list of 1 to ${max} IPv4 or IPv6 addresses`;
  const schema = z
    .array(z.string({ error: ADDRESS }), { error: accepts })
    .min(1, { error: accepts })
    .max(max, { error: accepts })
    .transform((values, context) => parseEach(values, context, parseHostAddress, refuseRepeated));
  return { schema, accepts, fromText: asList } satisfies Kind<typeof schema>;
}

/** ALTIFNAMSIZ of linux/if.h, less the zero at the end; a link's first name has at most 15. */
const LINK_NAME_MAX_CHARACTERS = 127;

/** The name of a network link, or another one that the kernel knows it by. */
export function linkName() {
  const accepts = 'the name of a network interface';
  const schema = z
    .string({ error: accepts })
    .regex(/^[^\s/:]+$/, { error: accepts })
    .max(LINK_NAME_MAX_CHARACTERS, { error: accepts })
    .transform((name, context) => {
      const why = notUsable(name);
      if (why === null) return name;
      context.addIssue({ code: 'custom', message: `${accepts}; ${why}` });
      return z.NEVER;
    });
  return { schema, accepts, fromText: asIs } satisfies Kind<typeof schema>;
}

function notUsable(name: string): string | null {
  if (name === 'lo') return 'no other node is reached by lo';
  const [own = '', ...parents] = name.split('@');
  return parents.length === 0
    ? null
    : `"ip address" shows it behind an @ with the link below it: give ${own}`;
}

/** As a host's address, or an IPv6 link-local one, in words what it should have been. */
function parseSender(value: string): IpAddress | string {
  const address = parseIp(value);
  if (address !== null && isLinkLocal(address)) return address;
  return value.includes('%') ? `${ADDRESS}, and without an interface behind a %` : parseHostAddress(value);
}

/** A list of distinct addresses of hosts, link-local ones too; "" as a flag is the empty one. */
export function senderList(max: number) {
  const accepts = `a list of at most ${max} IPv4 or IPv6 addresses such as 10.0.0.1 or fe80::1`;
  const schema = z
    .array(z.string({ error: ADDRESS }), { error: accepts })
    .max(max, { error: accepts })
    .transform((values, context) => parseEach(values, context, parseSender, refuseRepeated));
  return { schema, accepts, fromText: listOrNone } satisfies Kind<typeof schema>;
}

/** A network as text (RFC 4632): `10.0.0.0/8`; a host without a prefix length is a network of one. */
function parseNetwork(value: string): { address: IpAddress; prefixLength: number } | null {
  const [text = '', length, ...more] = value.split('/');
  const address = parseIp(text);
  if (address === null || more.length > 0) return null;
  const bits = address.octets.length * 8;
  if (length === undefined) return { address, prefixLength: bits };
  const prefixLength = /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  return prefixLength <= bits ? { address, prefixLength } : null;
}

/** A list of networks; "" as a flag is the empty one. */
export function networkList(max: number) {
  const accepts = `a list of at most ${max} networks such as 10.0.0.0/8 or fd00::/8`;
  const each = 'a network such as 10.0.0.0/8 or fd00::/8, or an address';
  const schema = z
    .array(z.string({ error: each }), { error: accepts })
    .max(max, { error: accepts })
    .transform((values, context) =>
      values.flatMap((value, index) => {
        const network = parseNetwork(value);
        if (network === null) context.addIssue({ code: 'custom', path: [index], message: each });
        return network === null ? [] : [network];
      }),
    );
  return { schema, accepts, fromText: listOrNone } satisfies Kind<typeof schema>;
}

const HOST_PORT = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/;

function parseHostPort(value: string): { address: IpAddress; port: number } | null {
  const match = HOST_PORT.exec(value);
  if (match === null) return null;
  const [, bracketed, plain, portText = ''] = match;
  const address = parseIp(bracketed ?? plain ?? '');
  const port = Number(portText);
  if (address === null || (address.family === 'IPv6') !== (bracketed !== undefined)) return null;
  return port >= 1 && port <= 65_535 ? { address, port } : null;
}

/** An address and port to listen on, or "" (null) for none. */
export function listenAddress() {
  const accepts = 'an IP address and port such as 127.0.0.1:10480 or [::1]:10480, or "" for off';
  const schema = z.string({ error: accepts }).transform((value, context) => {
    const listen = value === '' ? null : parseHostPort(value);
    if (value === '' || listen !== null) return listen;
    context.addIssue({ code: 'custom', message: accepts });
    return z.NEVER;
  });
  return { schema, accepts, fromText: asIs } satisfies Kind<typeof schema>;
}

/** sockaddr_un.sun_path holds 108 octets, the last one a NUL (unix(7)). */
const SOCKET_PATH_MAX_BYTES = 107;

/** The absolute path of a unix socket, or "" (null) for none. */
export function socketPath() {
  const accepts = `an absolute path of at most ${SOCKET_PATH_MAX_BYTES} ASCII characters, or "" for off`;
  const schema = z
    .string({ error: accepts })
    .regex(/^(?:\/[!-~]{1,106})?$/, { error: accepts })
    .transform((path) => (path === '' ? null : path));
  return { schema, accepts, fromText: asIs } satisfies Kind<typeof schema>;
}
