/** What the election thread (main) and the network thread tell each other. */
import type { Config } from '../../config/config.ts';
import type { IpAddress } from '../../ip/address.ts';
import type { LogFields, LogLevel } from '../../log/log.ts';
import type { AddressLease } from '../../net/rtnetlink-messages.ts';
import type { LeaseAnswer } from '../../vrrp/driver/kernel-lease.ts';
import type { NetworkView, Place } from './view.ts';

export type NetworkWorkerData = {
  readonly config: Config;
  readonly vitals: { readonly buffer: SharedArrayBuffer; readonly thread: number };
};

export type Answer = LeaseAnswer & { readonly type: 'answer'; readonly id: number };

export type ToNetwork =
  /** Bind the address, or renew it; answered. */
  | { readonly type: 'lease'; readonly id: number; readonly lease: AddressLease }
  /** Remove the address; answered. */
  | {
      readonly type: 'remove';
      readonly id: number;
      readonly linkIndex: number;
      readonly address: IpAddress;
    }
  /** The election begins at this place, by which the next views go. */
  | { readonly type: 'begin'; readonly place: Place }
  /** The election has ended: what happens to the interface is no longer of interest. */
  | { readonly type: 'end' }
  | { readonly type: 'stop' };

export type FromNetwork =
  /** Links and addresses have been read, and stale VIPs removed. */
  | { readonly type: 'ready' }
  /** It cannot do its work; the message is for people. */
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'view'; readonly view: NetworkView }
  /** An address of a VIP has gone from a link, and this daemon has not removed it. */
  | { readonly type: 'addressGone'; readonly linkIndex: number; readonly address: IpAddress }
  | Answer
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: LogFields;
    };
