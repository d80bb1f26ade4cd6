/** What the TLS of the checks is made of, how long it is in force, and what a look at its files means. Pure. */

/** Of one certificate, wall-clock times. */
export type Period = { readonly fromMs: number; readonly toMs: number };

type Credential = {
  /** Of each certificate by which the whole lasts: it is in force as long as one of them is. At least one. */
  readonly periods: readonly Period[];
};

/** The certificates that API servers are verified against. */
export type CaCertificates = Credential & {
  /** PEM text. */
  readonly pem: string;
};

/** What checks show to servers that ask for a certificate, and its private key: PEM texts. */
export type ClientPair = Credential & { readonly cert: string; readonly key: string };

export type Credentials = { readonly ca: CaCertificates; readonly client: ClientPair | null };

/** The file of a credential, as people are told of it. */
export type CredentialFile = {
  /** `health.caFile`: what names the file in the configuration. */
  readonly key: string;
  readonly path: string;
  /** What to do when it is bad. */
  readonly demand: string;
  /** What to do before it expires. */
  readonly renewal: string;
};

export function caFile(path: string): CredentialFile {
  return {
    key: 'health.caFile',
    path,
    demand: "health.caFile must be the cluster's CA certificate",
    renewal: "add the cluster's next CA certificate to it",
  };
}

export function clientCertFile(path: string): CredentialFile {
  return {
    key: 'health.clientCertFile',
    path,
    demand:
      'health.clientCertFile and health.clientKeyFile must be a certificate and its private key, in PEM',
    renewal: 'renew it, with "kubeadm certs renew" if kubeadm made it',
  };
}

/** What is wrong with the file, in one sentence. `path` where that is another file than the certificate's. */
export function describeWrong(
  { path: certPath, demand }: CredentialFile,
  wrong: string,
  path = certPath,
): string {
  return `${path} ${wrong}; ${demand}`;
}

/** Why certificates of these periods are of no use at `nowMs`; null when one is in force. */
export function describeNotInForce(periods: readonly Period[], nowMs: number): string | null {
  const notOver = periods.filter(({ toMs }) => toMs >= nowMs);
  if (notOver.length === 0) return `expired on ${isoTime(lastMs(periods))}`;
  const startsMs = Math.min(...notOver.map(({ fromMs }) => fromMs));
  return startsMs > nowMs ? `is not valid before ${isoTime(startsMs)}; compare this node's clock` : null;
}

/** When the last of the certificates ends (wall clock). */
export function expiryMs({ periods }: Credential): number {
  return lastMs(periods);
}

/** A month: whoever renews by hand has a maintenance window in it. */
const EXPIRES_SOON_MS = 30 * 24 * 3600 * 1000;

/**
 * When it ends, as the beginning of a sentence: from 30 days before the end of the last certificate on; null earlier.
 */
export function describeEnd(file: CredentialFile, credential: Credential, nowMs: number): string | null {
  const endMs = expiryMs(credential);
  if (endMs - nowMs > EXPIRES_SOON_MS) return null;
  const verb = endMs < nowMs ? 'has expired' : 'expires';
  return `${file.key} ${file.path} ${verb} on ${isoTime(endMs)}`;
}

/** The whole sentence for the log: the end, and what to do. Null while describeEnd is. */
export function describeExpiry(file: CredentialFile, credential: Credential, nowMs: number): string | null {
  const end = describeEnd(file, credential, nowMs);
  return end === null ? null : `${end}: ${file.renewal}; the checks then use it without a restart`;
}

/** What one look at the files found: a sentence when they cannot be used. */
export type Look<Kind> = { readonly found: Kind } | { readonly wrong: string };

export type Watched<Kind> = {
  readonly file: CredentialFile;
  readonly inUse: Kind;
  /** What the latest look found wrong. */
  readonly wrong: string | null;
  /** What has been told since the file was last good. */
  readonly told: string | null;
};

export type Remark = { readonly level: 'info' | 'warn'; readonly text: string };

/**
 * After one more look. Other content is taken when it is in force; otherwise what is in use stays. What is wrong is
 * told when the next look finds it too, since a certificate and its key are written one after the other; and once, so
 * that there is at most one remark in two looks.
 */
export function recordLook<Kind extends Credential>(
  before: Watched<Kind>,
  look: Look<Kind>,
  nowMs: number,
): { readonly after: Watched<Kind>; readonly remark: Remark | null } {
  const { file, inUse } = before;
  if ('wrong' in look) return recordWrong(before, look.wrong);
  const found = look.found;
  // Both are plain data, made in the same way.
  if (JSON.stringify(found) === JSON.stringify(inUse)) {
    const text = `${file.key} ${file.path} is again what the checks use`;
    const remark = before.told === null ? null : ({ level: 'info', text } as const);
    return { after: { file, inUse, wrong: null, told: null }, remark };
  }
  const notInForce = describeNotInForce(found.periods, nowMs);
  if (notInForce !== null) return recordWrong(before, describeWrong(file, notInForce));
  const text = `${file.key} ${file.path} has changed: the checks use the new one, which expires on ${isoTime(expiryMs(found))}`;
  return { after: { file, inUse: found, wrong: null, told: null }, remark: { level: 'info', text } };
}

function recordWrong<Kind>(
  before: Watched<Kind>,
  wrong: string,
): { readonly after: Watched<Kind>; readonly remark: Remark | null } {
  if (wrong !== before.wrong || wrong === before.told) return { after: { ...before, wrong }, remark: null };
  const text = `${wrong}; until then the checks use what was read before`;
  return { after: { ...before, wrong, told: wrong }, remark: { level: 'warn', text } };
}

function lastMs(periods: readonly Period[]): number {
  return Math.max(...periods.map(({ toMs }) => toMs));
}

function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
