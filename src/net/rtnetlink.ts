/**
 * Links, addresses and the default route of this network namespace, read, leased and watched over rtnetlink(7).
 *
 * Three sockets: `commands` carries changes, which are made within the call; `queries` carries dumps, one at a time, as
 * the `netlink` package finds a reply by its sequence number alone and ends a dump at the first message that is not
 * part of it; `notifications` carries what the kernel reports, of which there may be too much.
 */
import { errorText } from '../log/error-text.ts';
import {
  createNetlink,
  Flags,
  FlagsGet,
  FlagsNew,
  type NetlinkMessage,
  type NetlinkSocket,
  parseError,
  parseMessages,
} from 'netlink';

import { type Family, type IpAddress, HOST_PREFIX_BY_FAMILY } from '../ip/address.ts';
import { errnoCode, libc } from './libc.ts';
import { NETLINK_ROUTE, NLMSG_ERROR } from './linux.ts';
import { NetError } from './net-error.ts';
import { CommandSocket } from './netlink-commands.ts';
import { NotificationSocket } from './netlink-notifications.ts';
import { type Interest, notificationFilter } from './notification-filter.ts';
import {
  type AddressLease,
  type InterfaceAddress,
  type Link,
  type NetlinkChange,
  type Route,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETROUTE,
  RTM_NEWADDR,
  encodeAddressesRequest,
  encodeLease,
  encodeLinksRequest,
  encodeRemoval,
  encodeRoutesRequest,
  parseAddress,
  parseChange,
  parseLink,
  parseRoute,
} from './rtnetlink-messages.ts';

/** A refused request. Codes: 'EPERM', 'ENODEV', 'EADDRNOTAVAIL', 'ETIMEDOUT', 'ENOBUFS', 'ECANCELED' (closed), ... */
export class NetlinkError extends NetError {
  override readonly name = 'NetlinkError';
}

/**
 * An answer that takes this long was lost. The kernel answers within the system call, but that may wait for rtnl, and a
 * timer that ends meanwhile would be served before the answer is read.
 */
const REQUEST_TIMEOUT_MS = 15_000;
const REQUEST_BUFFER_BYTES = 256 << 10;
/** A dump that something changed under it is begun again, at most so often (NLM_F_DUMP_INTR). */
const DUMP_ATTEMPTS = 4;
/** More leases than VIPs means that links come and go: begin anew. */
const CACHED_LEASES = 16;

/** RTNLGRP_LINK is group 1, RTNLGRP_IPV4_IFADDR 5, RTNLGRP_IPV6_IFADDR 9. */
const NOTIFICATION_GROUPS = (1 << 0) | (1 << 4) | (1 << 8);

export type NetlinkListener = {
  readonly onChange: (change: NetlinkChange) => void;
  /**
   * The changes of this turn of the event loop have been reported: one look at the result is enough for all of them.
   */
  readonly onTurn?: () => void;
  /** Notifications were lost (NetlinkError ENOBUFS): read links and addresses again. */
  readonly onError: (error: Error) => void;
};

/**
 * One namespace's rtnetlink. Usable in any thread that may wait for rtnl; it keeps the event loop alive until closed.
 */
export class RtNetlink {
  readonly #commands: CommandSocket;
  readonly #queries: NetlinkSocket;
  readonly #notifications: NotificationSocket;
  readonly #queriesPort: number;
  readonly #encodedLeases = new Map<string, Uint8Array>();
  #lastQuery: Promise<unknown> = Promise.resolve();
  #closed = false;

  /**
   * Opens the sockets. Needs no privilege. Throws NetlinkError.
   *
   * Changes that this object makes are reported too: each renewal is an `addressAdded`. (The kernel names the process
   * that caused a change of an IPv4 address, but not of an IPv6 one. It reports a new IPv6 address later, from a work
   * queue: of one that is removed before, it reports the removal alone.)
   */
  static open(listener: NetlinkListener): RtNetlink {
    return new RtNetlink(listener);
  }

  private constructor({ onChange, onTurn, onError }: NetlinkListener) {
    const fail = (what: string) => (error: unknown) => {
      if (!this.#closed) onError(netlinkError(what, error));
    };
    const opened: { close(): void }[] = [];
    const open = <Socket extends { close(): void }>(socket: Socket): Socket => {
      opened.push(socket);
      return socket;
    };
    try {
      this.#commands = open(new CommandSocket());
      this.#queries = open(openRequestSocket());
      this.#queriesPort = this.#queries.address().port;
      this.#notifications = new NotificationSocket(NOTIFICATION_GROUPS, {
        onDatagram: (datagram) => this.#notify(datagram, onChange),
        onError: fail('notifications of link and address changes were lost'),
        onTurn: () => onTurn?.(),
      });
    } catch (error) {
      for (const socket of opened) socket.close();
      throw netlinkError('cannot open rtnetlink', error);
    }
    // The request that missed its answer times out by itself.
    this.#queries.on('error', fail('a netlink socket for requests failed'));
  }

  /**
   * Reports changes of what is of interest only, and has the kernel drop the other notifications; null: all changes.
   * Read links and addresses again after a widening. Throws NetError.
   */
  follow(interest: Interest | null): void {
    this.#notifications.filter(interest === null ? null : notificationFilter(interest));
  }

  /** Reports at once what the kernel has notified of by now, such as the effect of a command that has been answered. */
  readNotifications(): void {
    this.#notifications.readQueued();
  }

  /** All links. Throws NetlinkError. */
  async links(): Promise<Link[]> {
    const messages = await this.#dump(RTM_GETLINK, encodeLinksRequest());
    return messages.map((message) => parseLink(message.data)).filter((link) => link !== null);
  }

  /** All addresses of all links, of both families. Throws NetlinkError. */
  async addresses(): Promise<InterfaceAddress[]> {
    const messages = await this.#dump(RTM_GETADDR, encodeAddressesRequest());
    return messages.map((message) => parseAddress(message.data)).filter((address) => address !== null);
  }

  /** The default routes and the on-link ones of these families, in the main table. Throws NetlinkError. */
  async routes(families: readonly Family[]): Promise<Route[]> {
    const dumps = families.map((family) => this.#dump(RTM_GETROUTE, encodeRoutesRequest(family)));
    const messages = (await Promise.all(dumps)).flat();
    return messages.map((message) => parseRoute(message.data)).filter((route) => route !== null);
  }

  /**
   * Adds the address, or renews it: a /32 or /128 that the kernel takes away `validSeconds` after the last renewal,
   * deprecated (so never chosen as a source address) and usable at once (no duplicate address detection).
   * Throws NetlinkError: EPERM without CAP_NET_ADMIN, ENODEV when the link is gone.
   */
  leaseAddress(lease: AddressLease): void {
    const flags = FlagsNew.CREATE | FlagsNew.REPLACE;
    const what = `cannot add ${lease.address.text} to link ${lease.linkIndex}`;
    this.#command(what, RTM_NEWADDR, this.#encodedLease(lease), flags);
  }

  /**
   * Removes the address as leased, or else as somebody else configured it, whatever its prefix length; false when the
   * link does not have it, or is gone. Throws NetlinkError.
   */
  async removeAddress(linkIndex: number, address: IpAddress): Promise<boolean> {
    if (this.#deleteAddress(linkIndex, address, HOST_PREFIX_BY_FAMILY[address.family])) return true;
    for (const other of await this.addresses()) {
      if (other.linkIndex !== linkIndex || other.address.text !== address.text) continue;
      // Not the one that was tried: it may have been leased anew while the addresses were read.
      if (other.prefixLength === HOST_PREFIX_BY_FAMILY[address.family]) continue;
      if (this.#deleteAddress(linkIndex, address, other.prefixLength)) return true;
    }
    return false;
  }

  /**
   * Removes exactly this address, and none that differs in its prefix length only; false when it is not there (any
   * more). Throws NetlinkError.
   */
  removeExactly({ linkIndex, address, prefixLength }: InterfaceAddress): boolean {
    return this.#deleteAddress(linkIndex, address, prefixLength);
  }

  /** Ends notifications at once; a dump under way is rejected later. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#notifications.close();
    this.#commands.close();
    // Not within a callback of the socket itself, which goes on to use what closing frees.
    setImmediate(() => this.#queries.close());
  }

  #notify(datagram: Buffer, onChange: (change: NetlinkChange) => void): void {
    for (const message of parseMessages(datagram)) {
      const change = parseChange(message);
      if (change !== null && !this.#closed) onChange(change);
    }
  }

  /** The same octets twice a second: made once. */
  #encodedLease(lease: AddressLease): Uint8Array {
    const key = `${lease.linkIndex} ${lease.validSeconds} ${lease.address.text}`;
    const cached = this.#encodedLeases.get(key);
    if (cached !== undefined) return cached;
    const encoded = encodeLease(lease);
    if (this.#encodedLeases.size >= CACHED_LEASES) this.#encodedLeases.clear();
    this.#encodedLeases.set(key, encoded);
    return encoded;
  }

  #deleteAddress(linkIndex: number, address: IpAddress, prefixLength: number): boolean {
    const request = encodeRemoval(linkIndex, address, prefixLength);
    try {
      const what = `cannot remove ${address.text} from link ${linkIndex}`;
      this.#command(what, RTM_DELADDR, request, 0);
      return true;
    } catch (error) {
      if (error instanceof NetlinkError && NO_SUCH_ADDRESS.has(error.code)) return false;
      throw error;
    }
  }

  /** Asks for a change, and has it when this returns; waits for rtnl, the whole thread with it. */
  #command(what: string, type: number, data: Uint8Array, flags: number): void {
    if (this.#closed) throw new NetlinkError('ECANCELED', `${what}: rtnetlink is closed`);
    let errno: number;
    try {
      errno = this.#commands.command(type, flags, data);
    } catch (error) {
      throw netlinkError(what, error);
    }
    throwIfRefused(what, errno);
  }

  /** Asks for everything of a kind, after earlier dumps have ended, and again while it changes under the dump. */
  async #dump(type: number, data: Uint8Array): Promise<NetlinkMessage[]> {
    const once = async () =>
      this.#request(this.#queries, 'cannot read the network configuration', type, {
        data,
        flags: FlagsGet.DUMP,
        port: this.#queriesPort,
      });
    const query = this.#lastQuery.then(async () => {
      let messages = await once();
      for (let attempt = 1; attempt < DUMP_ATTEMPTS && messages.some(isInterrupted); attempt += 1) {
        messages = await once();
      }
      return messages;
    });
    this.#lastQuery = query.catch(() => {});
    return query;
  }

  async #request(
    socket: NetlinkSocket,
    what: string,
    type: number,
    { data, flags, port }: { data: Uint8Array; flags: number; port: number },
  ): Promise<NetlinkMessage[]> {
    if (this.#closed) throw new NetlinkError('ECANCELED', `${what}: rtnetlink is closed`);
    let messages: NetlinkMessage[];
    try {
      // With the port given, no getsockname(2) for each; with checkError off, the error is a number and not a text.
      const options = { flags, localPort: port, timeout: REQUEST_TIMEOUT_MS, checkError: false };
      [messages] = await socket.request(type, data, options);
    } catch (error) {
      throw netlinkError(what, error);
    }
    const [first] = messages;
    if (first?.type === NLMSG_ERROR) throwIfRefused(what, -parseError(first.data, first.flags).errno);
    return messages;
  }
}

/** What removing an address says when there is none: no such address, no such link, no IPv6 on the link. */
const NO_SUCH_ADDRESS = new Set(['EADDRNOTAVAIL', 'ENODEV', 'ENXIO']);

function openRequestSocket(): NetlinkSocket {
  const bufferBytes = REQUEST_BUFFER_BYTES;
  return createNetlink(NETLINK_ROUTE, { recvBufferSize: bufferBytes, sendBufferSize: bufferBytes });
}

/** Errno 0 is an acknowledgement. */
function throwIfRefused(what: string, errno: number): void {
  if (errno === 0) return;
  const code = errnoCode(errno);
  const reason = code === 'EPERM' ? 'this needs CAP_NET_ADMIN' : libc.strerror(errno);
  throw new NetlinkError(code, `${what}: ${reason}`);
}

/** The library's system errors have a code; its only error without one is that no answer came in time. */
function netlinkError(what: string, cause: unknown): NetlinkError {
  const code = (cause as { code?: unknown }).code;
  return new NetlinkError(typeof code === 'string' ? code : 'ETIMEDOUT', `${what}: ${errorText(cause)}`, {
    cause,
  });
}

function isInterrupted(message: NetlinkMessage): boolean {
  return (message.flags & Flags.DUMP_INTR) !== 0;
}
