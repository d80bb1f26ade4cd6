/** A configuration as the texts that give it back. Pure. */
import { formatHostPort, type IpAddress } from '../ip/address.ts';
import type { Config } from './config.ts';
import { formatDuration } from './duration.ts';

function listText(addresses: readonly IpAddress[]): string {
  return addresses.map(({ text }) => text).join(',');
}

function durationText(durationMs: number): string {
  return Number.isInteger(durationMs) ? formatDuration(durationMs) : `${durationMs}ms`;
}

/** The text of every field as a flag or variable has it, by its path; null for a field that is left out. */
export function fieldTexts(config: Config): Readonly<Record<string, string | null>> {
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
