/** Events for tests of the virtual router. */
import type { IpAddress } from '../ip/address.ts';
import type { RouterEvent } from '../vrrp/events.ts';

/** An advertisement of version 3 from `source`. */
export function heard(priority: number, source: IpAddress, advertisementIntervalMs = 100): RouterEvent {
  return {
    type: 'advertisement',
    source,
    advertisement: {
      version: 3,
      vrid: 51,
      priority,
      advertisementIntervalMs,
      addresses: [],
      authentication: { type: 'none' },
    },
  };
}
