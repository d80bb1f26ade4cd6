/** Looks at the files of the checks' credentials again and again, and hands over what is new in them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import {
  type CaCertificates,
  type ClientPair,
  type Credentials,
  type Look,
  type Watched,
  caFile,
  clientCertFile,
  describeExpiry,
  expiryMs,
  recordLook,
} from '../credentials.ts';
import { nextCheckMs } from '../schedule.ts';
import {
  CredentialFileError,
  type CredentialPaths,
  isReplaced,
  readCa,
  readClientPair,
} from './credential-files.ts';

/** Renewals come once a year: what counts is that a rotation of the CA, step by step, is noticed between two steps. */
const LOOK_MS = 60_000;
const DAY_MS = 24 * 3600 * 1000;
const HOUR_MS = 3600 * 1000;

export type CredentialExpiry = {
  readonly certificate: 'ca' | 'client';
  /** Wall clock; of the CA certificates, of the one that lasts longest. */
  readonly expiryMs: number;
};

export type CredentialWatchOptions = {
  readonly paths: CredentialPaths;
  /** What is in use, as readCredentials has read it from the paths. */
  readonly credentials: Credentials;
  /** Between looks, give or take a tenth. Default: a minute. */
  readonly intervalMs?: number;
  readonly log: Log;
  /** With credentials that are in order, and differ from those before. */
  readonly onChange: (credentials: Credentials) => void;
};

/** The first look is at once. Nothing about the files rejects; what `onChange` throws does, and is not caught. */
export class CredentialWatch {
  readonly #options: CredentialWatchOptions;
  readonly #expiryLimit = new LogLimit(DAY_MS, 2);
  readonly #replacedLimit = new LogLimit(HOUR_MS, 3);
  readonly #stopping = new AbortController();
  #replaced: readonly string[] = [];
  #ca: Watched<CaCertificates>;
  #client: Watched<ClientPair> | null;
  #loop: Promise<void> | null = null;

  constructor(options: CredentialWatchOptions) {
    const { paths, credentials } = options;
    this.#options = options;
    this.#ca = { file: caFile(paths.caFile), inUse: credentials.ca, wrong: null, told: null };
    this.#client =
      credentials.client === null || paths.clientCertFile === null
        ? null
        : {
            file: clientCertFile(paths.clientCertFile),
            inUse: credentials.client,
            wrong: null,
            told: null,
          };
  }

  /** A watch is started once; a second start does nothing. */
  start(): void {
    this.#loop ??= this.#keepLooking();
  }

  /** Looks at once. Returns what that brought, as the end of a sentence for the log. */
  lookAgain(): string {
    const before = { ca: this.#ca.inUse, client: this.#client?.inUse };
    this.#look();
    const wrong = [this.#ca.wrong, this.#client?.wrong ?? null].filter((text) => text !== null);
    if (wrong.length > 0) return `${wrong.join('; ')}: the checks use what was read before`;
    const isSame = this.#ca.inUse === before.ca && this.#client?.inUse === before.client;
    return isSame ? 'the certificates have not changed' : 'the checks use the new certificates';
  }

  /** No look, line or callback comes after it. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** The files that have been replaced or removed behind this process, as of the last look; see isReplaced. */
  get replaced(): readonly string[] {
    return this.#replaced;
  }

  /** Of what is in use. */
  expiries(): CredentialExpiry[] {
    const ca = { certificate: 'ca', expiryMs: expiryMs(this.#ca.inUse) } as const;
    if (this.#client === null) return [ca];
    return [ca, { certificate: 'client', expiryMs: expiryMs(this.#client.inUse) }];
  }

  async #keepLooking(): Promise<void> {
    const { intervalMs = LOOK_MS } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const startedMs = monotonicMs();
      this.#look();
      const nextMs = nextCheckMs({ startedMs, endedMs: monotonicMs() }, intervalMs, Math.random());
      try {
        await sleep(Math.max(0, nextMs - monotonicMs()), undefined, { signal });
      } catch {
        // Only the abort of stop() rejects; the loop sees it.
      }
    }
  }

  #look(): void {
    const { paths, onChange } = this.#options;
    const { caFile: ca, clientCertFile: cert, clientKeyFile: key } = paths;
    this.#lookForReplaced([ca, cert, key]);
    const before = { ca: this.#ca.inUse, client: this.#client?.inUse ?? null };
    this.#ca = this.#record(this.#ca, () => readCa(ca));
    if (this.#client !== null && cert !== null && key !== null)
      this.#client = this.#record(this.#client, () => readClientPair(cert, key));
    const after = { ca: this.#ca.inUse, client: this.#client?.inUse ?? null };
    if (after.ca !== before.ca || after.client !== before.client) onChange(after);
  }

  #lookForReplaced(paths: readonly (string | null)[]): void {
    this.#replaced = paths.filter((path) => path !== null && isReplaced(path)) as string[];
    for (const path of this.#replaced) {
      if (this.#replacedLimit.take(path, monotonicMs()) === null) continue;
      const text = `${path} was replaced or removed on the node, and this pod still has the old file: write it in place, or restart the pod; it restarts itself when it can no longer verify any API server`;
      this.#options.log('warn', text, { event: 'credentials_replaced', path });
    }
  }

  #record<Kind extends CaCertificates | ClientPair>(before: Watched<Kind>, read: () => Kind): Watched<Kind> {
    const nowMs = Date.now();
    const { after, remark } = recordLook(before, lookWith(read), nowMs);
    const { log } = this.#options;
    const fields = { event: 'credentials', key: after.file.key };
    if (remark !== null) log(remark.level, remark.text, fields);
    const expiry = describeExpiry(after.file, after.inUse, nowMs);
    if (expiry !== null && this.#expiryLimit.take(after.file.key, monotonicMs()) !== null)
      log('warn', expiry, fields);
    return after;
  }
}

function lookWith<Kind>(read: () => Kind): Look<Kind> {
  try {
    return { found: read() };
  } catch (error) {
    if (error instanceof CredentialFileError) return { wrong: error.message };
    throw error;
  }
}
