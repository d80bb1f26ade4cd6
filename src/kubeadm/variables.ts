/** A configuration as the variables that give it back. Pure. */
import type { Config } from '../config/config.ts';
import { formatDuration } from '../config/duration.ts';
import { parseConfig } from '../config/parse.ts';
import { quoteValue, type ConfigProblem } from '../config/problem.ts';
import { CONFIG_FIELDS, type ConfigField } from '../config/schema.ts';
import { formatHostPort, type IpAddress } from '../ip/address.ts';

export type Variable = { readonly field: ConfigField; readonly text: string };

type Variables =
  | { readonly ok: true; readonly value: readonly Variable[] }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

function listText(addresses: readonly IpAddress[]): string {
  return addresses.map(({ text }) => text).join(',');
}

function durationText(durationMs: number): string {
  return Number.isInteger(durationMs) ? formatDuration(durationMs) : `${durationMs}ms`;
}

/** The text of every field, by its path; null for a field that is left out. */
function fieldTexts(config: Config): Readonly<Record<string, string | null>> {
  const { vrrp, proxy, health, admin, log } = config;
  return {
    vip: listText(config.vips),
    interface: config.interface,
    peers: listText(config.peers),
    'vrrp.vrid': String(vrrp.vrid),
    'vrrp.version': String(vrrp.version),
    'vrrp.priority': String(vrrp.priority),
    'vrrp.advertisementInterval': durationText(vrrp.advertisementIntervalMs),
    'vrrp.preempt': vrrp.preempt,
    'vrrp.preemptDelay': durationText(vrrp.preemptDelayMs),
    'vrrp.transport': vrrp.transport,
    'vrrp.senders': listText(vrrp.senders),
    'vrrp.checksum': vrrp.checksum,
    'vrrp.authPass': vrrp.authPass,
    'proxy.port': String(proxy.port),
    'proxy.backendPort': String(proxy.backendPort),
    'proxy.workers': String(proxy.workers),
    'proxy.maxConnections': String(proxy.maxConnections),
    'proxy.maxConnectionsPerSource': String(proxy.maxConnectionsPerSource),
    'proxy.allowedSources': proxy.allowedSources
      .map(({ address, prefixLength }) => `${address.text}/${prefixLength}`)
      .join(','),
    'proxy.acceptRate': String(proxy.acceptRate),
    'proxy.maxConnectionAge': durationText(proxy.maxConnectionAgeMs),
    'health.path': health.path,
    'health.interval': durationText(health.intervalMs),
    'health.timeout': durationText(health.timeoutMs),
    'health.rise': String(health.rise),
    'health.fall': String(health.fall),
    'health.caFile': health.caFile,
    'health.clientCertFile': health.clientCertFile,
    'health.clientKeyFile': health.clientKeyFile,
    'admin.address': admin.listen === null ? '' : formatHostPort(admin.listen.address, admin.listen.port),
    'admin.socket': admin.socket ?? '',
    'log.level': log.level,
    'log.format': log.format,
  };
}

function allVariables(config: Config): Variable[] {
  const texts = fieldTexts(config);
  return CONFIG_FIELDS.flatMap((field) => {
    const text = texts[field.path];
    if (text === undefined) throw new Error(`field ${field.path} has no text`);
    return text === null ? [] : [{ field, text }];
  });
}

/** The paths of those fields that the variables do not give back as they are in `config`. */
function findDifferences(config: Config, variables: readonly Variable[]): string[] {
  const env = Object.fromEntries(variables.map(({ field, text }) => [field.env, text]));
  const parsed = parseConfig({ file: null, env, flags: [] });
  if (!parsed.ok) return parsed.problems.map(({ path }) => path.replace(/\[\d+\]$/, ''));
  const given = fieldTexts(parsed.value);
  return Object.entries(fieldTexts(config)).flatMap(([path, text]) => (given[path] === text ? [] : [path]));
}

/**
 * The fewest variables that give the configuration back: those that make no difference are left out, and so nothing
 * here knows a default. A value that no variable can give is a problem (a text like `tcp://` is taken for a Service).
 */
export function configVariables(config: Config): Variables {
  let variables: readonly Variable[] = allVariables(config);
  const lost = findDifferences(config, variables);
  if (lost.length > 0) {
    const problems = variables
      .filter(({ field }) => lost.includes(field.path))
      .map(({ field, text }) => ({
        path: field.path,
        value: quoteValue(text),
        message: `expected a value that the variable ${field.env} can give, which is how a static pod gets it`,
        where: null,
      }));
    return { ok: false, problems };
  }
  for (const candidate of variables) {
    const rest = variables.filter((variable) => variable !== candidate);
    if (findDifferences(config, rest).length === 0) variables = rest;
  }
  return { ok: true, value: variables };
}
