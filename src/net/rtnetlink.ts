/**
 * Links, addresses and the default route of this network namespace, read, leased and watched over rtnetlink(7).
 *
 * Three sockets, because the `netlink` package finds a reply by its sequence number alone and ends a dump at the first
 * message that is not part of it: `commands` carries changes, which must not wait behind a long dump; `queries` carries
 * dumps, one at a time; `notifications` carries what the kernel reports, which has the sequence number of whoever
 * caused it, and of which there may be too much.
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

import type { Family, IpAddress } from '../ip/address.ts';
import { errnoCode, libc } from './libc.ts';
import { NETLINK_ROUTE, NLMSG_ERROR } from './linux.ts';
import { NetError } from './net-error.ts';
import { NotificationSocket } from './netlink-notifications.ts';
import {
  type AddressLease,
  HOST_PREFIX_BY_FAMILY,
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

/** The kernel answers within the system call; an answer that takes this long was lost. */
const REQUEST_TIMEOUT_MS = 2000;
const REQUEST_BUFFER_BYTES = 256 << 10;
/** A dump that something changed under it is begun again, at most so often (NLM_F_DUMP_INTR). */
const DUMP_ATTEMPTS = 4;
/** More leases than VIPs means that links come and go: begin anew. */
const CACHED_LEASES = 16;

/** RTNLGRP_LINK is group 1, RTNLGRP_IPV4_IFADDR 5, RTNLGRP_IPV6_IFADDR 9. */
const NOTIFICATION_GROUPS = (1 << 0) | (1 << 4) | (1 << 8);

/** One namespace's rtnetlink. Usable in any thread; it keeps the event loop alive until closed. */
export class RtNetlink {
  readonly #commands: NetlinkSocket;
  readonly #queries: NetlinkSocket;
  readonly #notifications: NotificationSocket;
  readonly #commandsPort: number;
  readonly #queriesPort: number;
  readonly #encodedLeases = new Map<string, Uint8Array>();
  #lastQuery: Promise<unknown> = Promise.resolve();
  #closed = false;

  /**
   * Opens the sockets. Needs no privilege. Throws NetlinkError.
   *
   * `onChange` hears of every change, also of those that this object makes: each renewal is an `addressAdded`. (The
   * kernel says who caused a change of an IPv4 address, but not of an IPv6 one. It reports a new IPv6 address later,
   * from a work queue: of one that is removed before, it reports the removal alone.)
   * `onError` hears that notifications were lost (NetlinkError ENOBUFS): read links and addresses again.
   */
  static open(onChange: (change: NetlinkChange) => void, onError: (error: Error) => void): RtNetlink {
    return new RtNetlink(onChange, onError);
  }

  private constructor(onChange: (change: NetlinkChange) => void, onError: (error: Error) => void) {
    const fail = (what: string) => (error: unknown) => {
      if (!this.#closed) onError(netlinkError(what, error));
    };
    const opened: { close(): void }[] = [];
    const open = <Socket extends { close(): void }>(socket: Socket): Socket => {
      opened.push(socket);
      return socket;
    };
    try {
      this.#commands = open(openRequestSocket());
      this.#queries = open(openRequestSocket());
      this.#commandsPort = this.#commands.address().port;
      this.#queriesPort = this.#queries.address().port;
      this.#notifications = new NotificationSocket(NOTIFICATION_GROUPS, {
        onDatagram: (datagram) => this.#notify(datagram, onChange),
        onError: fail('notifications of link and address changes were lost'),
      });
    } catch (error) {
      for (const socket of opened) socket.close();
      throw netlinkError('cannot open rtnetlink', error);
    }
    // The request that missed its answer times out by itself.
    for (const socket of [this.#commands, this.#queries]) {
      socket.on('error', fail('a netlink socket for requests failed'));
    }
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
  async leaseAddress(lease: AddressLease): Promise<void> {
    const flags = FlagsNew.CREATE | FlagsNew.REPLACE;
    const what = `cannot add ${lease.address.text} to link ${lease.linkIndex}`;
    await this.#command(what, RTM_NEWADDR, this.#encodedLease(lease), flags);
  }

  /**
   * Removes the address as leased, or else as somebody else configured it, whatever its prefix length; false when the
   * link does not have it, or is gone. Throws NetlinkError.
   */
  async removeAddress(linkIndex: number, address: IpAddress): Promise<boolean> {
    if (await this.#deleteAddress(linkIndex, address, HOST_PREFIX_BY_FAMILY[address.family])) return true;
    for (const other of await this.addresses()) {
      if (other.linkIndex !== linkIndex || other.address.text !== address.text) continue;
      if (await this.#deleteAddress(linkIndex, address, other.prefixLength)) return true;
    }
    return false;
  }

  /**
   * Removes exactly this address, and none that differs in its prefix length only; false when it is not there (any
   * more). Throws NetlinkError.
   */
  async removeExactly({ linkIndex, address, prefixLength }: InterfaceAddress): Promise<boolean> {
    return this.#deleteAddress(linkIndex, address, prefixLength);
  }

  /** Ends notifications at once; a request under way is rejected within two seconds. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#notifications.close();
    // Not within a callback of the sockets themselves, which go on to use what closing frees.
    setImmediate(() => {
      for (const socket of [this.#commands, this.#queries]) socket.close();
    });
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

  async #deleteAddress(linkIndex: number, address: IpAddress, prefixLength: number): Promise<boolean> {
    const request = encodeRemoval(linkIndex, address, prefixLength);
    try {
      const what = `cannot remove ${address.text} from link ${linkIndex}`;
      await this.#command(what, RTM_DELADDR, request, 0);
      return true;
    } catch (error) {
      if (error instanceof NetlinkError && NO_SUCH_ADDRESS.has(error.code)) return false;
      throw error;
    }
  }

  /** Asks for a change and waits for its acknowledgement. */
  async #command(what: string, type: number, data: Uint8Array, flags: number): Promise<void> {
    const port = this.#commandsPort;
    await this.#request(this.#commands, what, type, { data, flags, port });
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
    if (first?.type === NLMSG_ERROR) throwIfRefused(what, first);
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
function throwIfRefused(what: string, message: NetlinkMessage): void {
  const errno = -parseError(message.data, message.flags).errno;
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
