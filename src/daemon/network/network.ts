/**
 * The main thread's end of the network thread: asks it to bind, renew and remove addresses, and learns of each result
 * and of each change as an event. Nothing here waits for the kernel.
 */
import type { Worker } from 'node:worker_threads';
import type { Config } from '../../config/config.ts';
import type { IpAddress } from '../../ip/address.ts';
import type { Log } from '../../log/log.ts';
import type { AddressLease } from '../../net/rtnetlink-messages.ts';
import { NetlinkError } from '../../net/rtnetlink.ts';
import { THREAD_NETWORK } from '../../runtime/thread-vitals.ts';
import type { LeaseAnswer, LeaseCalls } from '../../vrrp/driver/kernel-lease.ts';
import { ended, startThread } from '../threads.ts';
import type { FromNetwork, NetworkWorkerData, ToNetwork } from './messages.ts';
import type { NetworkView, Place } from './view.ts';

/** A thread that waits for rtnl ends when it gets it; the process cannot end before. */
const STOP_TIMEOUT_MS = 1000;

export type NetworkOptions = {
  readonly config: Config;
  readonly vitals: SharedArrayBuffer;
  readonly log: Log;
  readonly onView: (view: NetworkView) => void;
  readonly onAddressGone: (linkIndex: number, address: IpAddress) => void;
  /** The thread died without being asked to. */
  readonly onExit: (reason: string) => void;
};

export class Network implements LeaseCalls {
  readonly #worker: Worker;
  readonly #options: NetworkOptions;
  readonly #calls = new Map<number, (answer: LeaseAnswer) => void>();
  readonly #whenChanged = new Set<() => void>();
  #view: NetworkView | null = null;
  #nextId = 1;
  #isStopping = false;

  /** Resolves when links and addresses have been read and stale VIPs removed; rejects with one sentence. */
  static async open(options: NetworkOptions): Promise<Network> {
    const network = new Network(options);
    try {
      await network.#opened();
    } catch (error) {
      await network.stop();
      throw error;
    }
    return network;
  }

  private constructor(options: NetworkOptions) {
    this.#options = options;
    this.#worker = startThread('network/network-thread', 'network', {
      config: options.config,
      vitals: { buffer: options.vitals, thread: THREAD_NETWORK },
    } satisfies NetworkWorkerData);
    this.#worker.on('message', (message: FromNetwork) => this.#take(message));
    this.#worker.on('error', (error: Error) => this.#onExit(`the network thread failed: ${error.message}`));
    this.#worker.on('exit', (code) => this.#onExit(`the network thread ended with code ${code}`));
  }

  /** The latest view; null before the first. */
  get view(): NetworkView | null {
    return this.#view;
  }

  /** Resolves at the next change of the view. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenChanged.add(resolve);
    });
  }

  /** The election begins at this place. */
  begin(place: Place): void {
    this.#post({ type: 'begin', place });
  }

  /** The election has ended. */
  end(): void {
    this.#post({ type: 'end' });
  }

  /** Binds or renews the address. */
  leaseAddress(lease: AddressLease, onAnswer: (answer: LeaseAnswer) => void): void {
    this.#call((id) => ({ type: 'lease', id, lease }), onAnswer);
  }

  /** Removes the address; `removed` is false when it was not there. */
  removeAddress(linkIndex: number, address: IpAddress, onAnswer: (answer: LeaseAnswer) => void): void {
    this.#call((id) => ({ type: 'remove', id, linkIndex, address }), onAnswer);
  }

  /** Ends the thread. Calls that have not been answered never are. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#post({ type: 'stop' });
    await ended(this.#worker, STOP_TIMEOUT_MS);
  }

  #post(message: ToNetwork): void {
    this.#worker.postMessage(message);
  }

  #call(messageOf: (id: number) => ToNetwork, onAnswer: (answer: LeaseAnswer) => void): void {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#calls.set(id, onAnswer);
    this.#post(messageOf(id));
  }

  #opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#worker.on('message', (message: FromNetwork) => {
        if (message.type === 'ready') resolve();
        else if (message.type === 'failed') reject(new NetlinkError('EIO', message.message));
      });
      this.#worker.once('exit', () =>
        reject(new NetlinkError('EIO', 'the network thread ended at its start')),
      );
    });
  }

  #take(message: FromNetwork): void {
    switch (message.type) {
      case 'view':
        this.#view = message.view;
        this.#options.onView(message.view);
        for (const resolve of this.#whenChanged) resolve();
        this.#whenChanged.clear();
        break;
      case 'addressGone':
        this.#options.onAddressGone(message.linkIndex, message.address);
        break;
      case 'answer':
        this.#calls.get(message.id)?.(message);
        this.#calls.delete(message.id);
        break;
      case 'log':
        this.#options.log(message.level, message.message, message.fields);
        break;
      case 'ready':
      case 'failed':
        break;
    }
  }

  #onExit(reason: string): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#options.onExit(reason);
  }
}
