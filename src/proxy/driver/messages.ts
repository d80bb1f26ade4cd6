/** What the daemon's threads and a proxy worker tell each other. */
import type { MessagePort } from 'node:worker_threads';
import type { LogFields, LogLevel } from '../../log/log.ts';
import type { AdmissionMemory, ProxyLimits } from '../admission.ts';
import type { ConnectionBatch, ConnectionDetail } from '../connections.ts';
import type { ProxyBackend } from '../upstream.ts';

export type ProxyWorkerData = {
  readonly port: number;
  readonly connectTimeoutMs: number;
  /** At most MAX_BACKENDS; their order is the order of the counters. */
  readonly backends: readonly ProxyBackend[];
  /** True when several workers listen on the same port. */
  readonly reusePort: boolean;
  readonly limits: ProxyLimits;
  /** From createAdmissionMemory; the same for all workers. */
  readonly admission: AdmissionMemory;
  /** From createProxyCounters; the same for all workers. */
  readonly counters: SharedArrayBuffer;
  /** Where this thread shows that it lives, and its slot there; see runtime/thread-vitals. */
  readonly vitals?: { readonly buffer: SharedArrayBuffer; readonly thread: number };
};

/** To the worker; `servicesPort` carries `backends` as well. */
export type ProxyCommand =
  | { readonly type: 'backends'; readonly backends: readonly ProxyBackend[] }
  /** `handedOver`: what clients have under way is finished first; see TcpProxy. */
  | {
      readonly type: 'closeVip';
      readonly request: number;
      readonly address: string;
      readonly handedOver: boolean;
    }
  | { readonly type: 'stop'; readonly graceMs: number }
  /** Asks for what `connectionList` answers, in pieces. */
  | { readonly type: 'listConnections'; readonly request: number }
  /** The reader has taken in the last batch of connections, and is ready for the next one. */
  | { readonly type: 'connectionsRead' }
  | { readonly type: 'servicesPort'; readonly port: MessagePort };

/**
 * From the worker; `vipClosed` answers the `closeVip` with the same `request`; `log` goes to the services port once
 * there is one.
 */
export type ProxyEvent =
  | { readonly type: 'listening' }
  | { readonly type: 'listenFailed'; readonly code: string; readonly message: string }
  /** After `listening`: no client can connect to this thread any longer; `reason` is one sentence. */
  | { readonly type: 'listenerLost'; readonly reason: string }
  | { readonly type: 'vipClosed'; readonly request: number }
  | { readonly type: 'stopped' }
  /** To the services port only; the last piece is empty. */
  | {
      readonly type: 'connectionList';
      readonly request: number;
      readonly connections: readonly ConnectionDetail[];
    }
  /** To the services port only, and not again before `connectionsRead`. */
  | { readonly type: 'connections'; readonly batch: ConnectionBatch }
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: LogFields;
    };
