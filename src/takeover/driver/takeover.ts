/**
 * Lets no client of a lost Active hang: shares the clients of this node's VIPs with its peers (peer-channel.ts), and as
 * the new Active prompts those of the lost one (prompter.ts), unless that has handed over (departure.ts, shelter.ts).
 */
import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { type Family, type IpAddress, parseSocketAddress } from '../../ip/address.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import { type LinkFacts, readLinkFacts, readLinkIndex } from './link-facts.ts';
import { ClientShare } from '../client-share.ts';
import { decodeHandoverNotice } from '../handover-notice.ts';
import { PeerClients } from '../peer-clients.ts';
import type { Service } from '../segment.ts';
import { addressOf, type ClientKey, clientKey } from '../tuple.ts';
import { Departure } from './departure.ts';
import { PeerChannel, type PeerChannelCounts } from './peer-channel.ts';
import { type PromptCounts, Prompter } from './prompter.ts';
import { Shelter } from './shelter.ts';

export type TakeoverOptions = {
  /** Of this node; what is said to peers comes from it. */
  readonly self: IpAddress;
  /** The other members of the group, of the same family. */
  readonly peers: readonly IpAddress[];
  readonly vrid: number;
  /** TCP port of the service, and UDP port of the word among peers. */
  readonly port: number;
  readonly vips: readonly IpAddress[];
  /** That the VIPs are bound on at first. */
  readonly interfaceName: string;
  /** How many sockets of this process listen on `port`. */
  readonly listeners: number;
  readonly log: Log;
};

/** The end of a connection that is the client's, and the one that it came to, as sockets have them. */
export type ClientConnection = {
  readonly client: string;
  readonly clientPort: number;
  readonly local: string;
};

/** `sendErrors` are those of messages and of prompts. */
export type TakeoverCounts = PeerChannelCounts &
  Readonly<PromptCounts> & {
    /** Clients of this node's VIPs, which peers are told of. */
    readonly shared: number;
    /** Clients that peers have told of. */
    readonly known: number;
    readonly messagesLost: number;
  };

const LOG_PERIOD_MS = 60_000;

/** One VIP's part: whom this node serves through it, and whom it prompts, if any. */
type VipTakeover = {
  readonly service: Service;
  readonly share: ClientShare;
  readonly prompter: Prompter;
  isActive: boolean;
};

export class Takeover {
  readonly #vips: readonly VipTakeover[];
  readonly #known = new PeerClients();
  readonly #vrid: number;
  readonly #departure: Departure;
  readonly #shelter: Shelter;
  readonly #channel: PeerChannel;
  #interfaceName: string;
  readonly #promptCounts: PromptCounts = {
    prompts: 0,
    sendErrors: 0,
    fates: { told: 0, gone: 0, elsewhere: 0, silent: 0 },
  };

  /** Begins to listen to peers at once. */
  constructor(options: TakeoverOptions) {
    const { port, vrid, log } = options;
    const generation = randomBytes(4).readUInt32BE();
    const limit = new LogLimit(LOG_PERIOD_MS, 1);
    const linkIndex = (): number | null => readLinkIndex(this.#interfaceName);
    this.#vips = options.vips.map((vip) => {
      const service = { vip, port };
      return {
        service,
        share: new ClientShare({ family: vip.family, vrid, generation }),
        prompter: new Prompter({ service, linkIndex, log, limit, counts: this.#promptCounts }),
        isActive: false,
      };
    });
    this.#vrid = vrid;
    this.#interfaceName = options.interfaceName;
    const link = (): LinkFacts | null => readLinkFacts(this.#interfaceName);
    const send = (octets: Uint8Array, peer: IpAddress): void => this.#channel.send(octets, peer);
    this.#departure = new Departure({ ...options, mac: () => link()?.mac ?? null, send });
    this.#shelter = new Shelter({
      ...options,
      services: this.#vips.map(({ service }) => service),
      link,
      send,
    });
    this.#channel = new PeerChannel({
      ...options,
      linkIndex,
      shares: this.#vips.map(({ share }) => share),
      known: this.#known,
      onNotice: (octets, peer) => this.#onNotice(octets, peer),
    });
  }

  /** A client has got its backend. Connections that are not to a VIP do not matter here. */
  opened(connection: ClientConnection): void {
    const end = this.#endOf(connection);
    if (end === null) return;
    end.vip.share.opened(end.key);
    this.#channel.tellLater(end.vip.share);
    end.vip.prompter.cameBack(end.key);
    this.#known.forget(end.key);
  }

  closed(connection: ClientConnection): void {
    const end = this.#endOf(connection);
    if (end === null) return;
    end.vip.share.closed(end.key);
    this.#channel.tellLater(end.vip.share);
  }

  /** Whether this node is Active for a VIP. On becoming so, the takeover of its clients begins; afterwards it ends. */
  setActive(vipText: string, isActive: boolean): void {
    const vip = this.#vips.find(({ service }) => service.vip.text === vipText);
    if (vip === undefined || vip.isActive === isActive) return;
    vip.isActive = isActive;
    if (!isActive) {
      vip.prompter.end('the VIP has moved on');
      return;
    }
    // After a planned handover the old holder closes its clients' connections itself. But what it sends does not reach
    // processes of this host: it comes from an address that is this host's now, and the kernel drops that.
    if (this.#shelter.isOpen) this.#begin(vip, isOnThisHost());
    this.#shelter.becameActive(() => vip.isActive && this.#begin(vip));
  }

  /**
   * VIPs are on this interface from now on: it has another name, or another one has their subnet. To be called now and
   * then with the same name as well, because an interface that is made anew has another index.
   */
  useInterface(name: string): void {
    this.#interfaceName = name;
    this.#channel.lookAtLink();
  }

  /** This node is about to give its VIPs up. Resolves when whoever may take them is prepared, or after some 200 ms. */
  async prepareHandover(): Promise<void> {
    await this.#departure.announce();
  }

  /** The service's listeners are about to close. */
  stopSheltering(): void {
    this.#shelter.close();
  }

  read(): TakeoverCounts {
    const channel = this.#channel.read();
    const { prompts, sendErrors, fates } = this.#promptCounts;
    return {
      ...channel,
      sendErrors: channel.sendErrors + sendErrors,
      prompts,
      fates: { ...fates },
      shared: this.#vips.reduce((sum, { share }) => sum + share.size, 0),
      known: this.#known.size,
      messagesLost: this.#known.lost,
    };
  }

  close(): void {
    this.#shelter.close();
    for (const { prompter } of this.#vips) prompter.end('stopping');
    this.#channel.close();
  }

  #onNotice(octets: Uint8Array, peer: IpAddress): boolean {
    const notice = decodeHandoverNotice(octets, this.#vrid);
    if (notice === null) return false;
    if (notice.step === 'ready') {
      this.#departure.peerIsReady(peer);
      return true;
    }
    const mayFollow = this.#vips.some(({ isActive }) => !isActive);
    if (mayFollow) this.#shelter.expect(peer, notice.mac);
    return mayFollow;
  }

  #begin(vip: VipTakeover, isWanted: (key: ClientKey) => boolean = () => true): void {
    const clients = this.#known.take(vip.service.vip.family, isWanted);
    vip.prompter.begin(clients.filter((key) => !vip.share.has(key)));
  }

  /** Null when the connection is not to a VIP, or the client is none that can be prompted. */
  #endOf({ client, clientPort, local }: ClientConnection): { vip: VipTakeover; key: ClientKey } | null {
    const localAddress = parseSocketAddress(local);
    const vip = this.#vips.find(({ service }) => service.vip.text === localAddress?.text);
    if (vip === undefined) return null;
    const address = parseSocketAddress(client);
    // Who comes from the VIP itself is on this host, and shares its fate.
    if (address?.text === localAddress?.text) return null;
    if (address === null || address.family !== (vip.service.vip.family satisfies Family)) return null;
    const key = clientKey(address, clientPort);
    return key === null ? null : { vip, key };
  }
}

/** Whether a client has an address of this host, as of now. */
function isOnThisHost(): (key: ClientKey) => boolean {
  const entries = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const own = new Set(
    entries.map(({ address }) => String.fromCharCode(...(parseSocketAddress(address)?.octets ?? []))),
  );
  return (key) => own.has(addressOf(key));
}
