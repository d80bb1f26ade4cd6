/** What the election thread (main) and the services thread tell each other. */
import type { MessagePort } from 'node:worker_threads';
import type { Config } from '../config/config.ts';
import type { HealthClass } from '../node/health-class.ts';
import type { Credentials } from '../health/credentials.ts';
import type { IpAddress } from '../ip/address.ts';
import type { LogFields, LogLevel } from '../log/log.ts';
import type { RouterSnapshot } from '../vrrp/driver/router.ts';
import type { WaitReason } from './waits.ts';

export type BackendAddress = {
  readonly address: IpAddress;
  readonly port: number;
  /** True for this node's own API server. */
  readonly local: boolean;
};

export type ServicesWorkerData = {
  readonly config: Config;
  readonly version: string;
  readonly vitals: SharedArrayBuffer;
  readonly proxyCounters: SharedArrayBuffer;
  /** One Int32: how many messages from main have been handled, so that main can bound what waits. */
  readonly handled: SharedArrayBuffer;
};

export type LogRecord = {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
  readonly timeMs: number;
};

export type ElectionSnapshot = {
  /** What keeps the node out of the election; null when nothing does. */
  readonly waitingFor: string | null;
  /** The kind of it; null when `waitingFor` is. */
  readonly waitReason: WaitReason | null;
  /** Why the node is of class C whatever the checks report; null when nothing is. */
  readonly impediment: string | null;
  readonly interface: string | null;
  readonly stopping: boolean;
  /** Whether the node is to stay away from elections; known before there are routers. */
  readonly drained: boolean;
  readonly routers: readonly RouterSnapshot[];
};

export type ToServices =
  | { readonly type: 'log'; readonly record: LogRecord }
  /** The node is known and the proxy listens: begin to check the backends. */
  | {
      readonly type: 'start';
      /** This node's address among the peers. */
      readonly self: IpAddress;
      readonly interfaceName: string;
      readonly backends: readonly BackendAddress[];
      readonly credentials: Credentials;
      readonly proxyPorts: readonly MessagePort[];
    }
  | { readonly type: 'election'; readonly snapshot: ElectionSnapshot }
  /** This node will give its VIPs up in a moment; answered by `handoverPrepared`. */
  | { readonly type: 'prepareHandover' }
  /** SIGHUP: log from this level on, look at the certificates, and log `text` with what that brought. */
  | { readonly type: 'reload'; readonly logLevel: LogLevel; readonly text: string }
  /** Write one line about the daemon's state to the log. */
  | { readonly type: 'logState' }
  | { readonly type: 'stop' };

export type FromServices =
  | { readonly type: 'ready' }
  /** It cannot do its work; the message is for people. */
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'health'; readonly class: HealthClass; readonly confirmedAtMs: number }
  | { readonly type: 'handoverPrepared' }
  | { readonly type: 'drain'; readonly force: boolean }
  | { readonly type: 'undrain' }
  /** The process has to be started anew, after a handover; the message is for people. */
  | { readonly type: 'restart'; readonly message: string }
  | { readonly type: 'stopped' };
