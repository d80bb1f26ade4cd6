/** Clients on this node itself, kubelet for one: who connects to a VIP that is here has it for an own address. */
import { parseIp } from '../../ip/address.ts';
import { abortConnection } from './tcp-abort.ts';
import type { Relay } from './relay.ts';

/**
 * Ends the sockets of such clients among those of `relays`, which are closed already, on `vip` and `port`. If the
 * kernel has lost the address, with its interface or for want of a renewal, no RST has reached them, and nothing that
 * they send gets anywhere. Where the RST has come, nothing is left to do. Returns one sentence when it cannot be done,
 * or null.
 */
export function abortOwnClients(vip: string, port: number, relays: readonly Relay[]): string | null {
  const own = relays.filter(({ addresses: { client, local } }) => client === local);
  const address = parseIp(vip);
  if (own.length === 0 || address === null) return null;
  for (const { addresses } of own) {
    const failure = abortConnection({ address, port: addresses.clientPort }, { address, port });
    if (failure !== null)
      return `cannot end ${own.length} connections of clients on this node to ${vip}, which may take a minute to notice that it is gone: ${failure}`;
  }
  return null;
}
