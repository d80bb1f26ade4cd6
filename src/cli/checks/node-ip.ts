/**
 * The check of kubelet's --node-ip, for IPv6 VIPs. Linux lists the address that was added last first among those of one
 * scope (ipv6_link_dev_addr), and scope follows from the address itself; so a VIP stands before the node's own address
 * for as long as it is there. What takes the first global address of an interface for that of the node, as kubelet and
 * kubeadm do without --node-ip and advertiseAddress, takes the VIP on the holder.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

import type { Config } from '../../config/config.ts';
import { parseIp } from '../../ip/address.ts';
import { ok, fail, skip, warn, type CheckResult } from './result.ts';

const NAME = 'node-ip';
const FIX =
  'start kubelet with --node-ip and this node\'s own address ("kube-vrrp kubeadm" prints where), then restart it';

/**
 * The words that the kubelet of this node was started with: one on the same network, as others run in containers. Null
 * where there is none that this process can see, as from a container of its own.
 */
function readKubeletWords(): readonly string[] | null {
  const network = readlinkSync('/proc/self/ns/net');
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/comm`, 'utf8').trim() !== 'kubelet') continue;
      if (readlinkSync(`/proc/${pid}/ns/net`) !== network) continue;
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    } catch {
      // The process has ended meanwhile, or may not be looked at.
    }
  }
  return null;
}

/** The value of `--node-ip=X` or `--node-ip X`; null without. */
function nodeIpIn(words: readonly string[]): string | null {
  const at = words.findLastIndex((word) => /^--?node-ip(?:=|$)/.test(word));
  const word = words[at];
  if (word === undefined) return null;
  return word.includes('=') ? word.slice(word.indexOf('=') + 1) : (words[at + 1] ?? '');
}

/** `words`: see readKubeletWords. Nothing without an IPv6 VIP: an IPv4 one stands behind the node's own address. */
export function judgeNodeIp({ vips }: Config, words: readonly string[] | null): CheckResult[] {
  const ipv6Vips = vips.filter(({ family }) => family === 'IPv6').map(({ text }) => text);
  if (ipv6Vips.length === 0) return [];
  const list = ipv6Vips.join(' and ');
  const why = `without --node-ip it may take ${list} for the address of this node while that has the VIP`;
  if (words === null) {
    return [skip(NAME, `did not find kubelet (a container does not see it); ${why}`, FIX)];
  }
  const nodeIp = nodeIpIn(words);
  const addresses = (nodeIp ?? '').split(',').map((text) => parseIp(text.trim()));
  if (addresses.some((address) => address !== null && ipv6Vips.includes(address.text)))
    return [fail(NAME, `kubelet has --node-ip=${nodeIp}, which is the VIP`, FIX)];
  // 0.0.0.0 and :: choose a family only.
  const isOwn = addresses.some((address) => address?.octets.some((octet) => octet !== 0) === true);
  if (isOwn) return [ok(NAME, `kubelet has --node-ip=${nodeIp}`)];
  return [warn(NAME, `kubelet has no --node-ip with an address: ${why}`, FIX)];
}

export function checkNodeIp(config: Config): CheckResult[] {
  return judgeNodeIp(config, readKubeletWords());
}
