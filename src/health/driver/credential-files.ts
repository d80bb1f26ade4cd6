/** Reads the certificates and the key of the checks from their files: at the start, and at each look at them later. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import {
  type CaCertificates,
  type ClientPair,
  type CredentialFile,
  type Credentials,
  type Period,
  caFile,
  clientCertFile,
  describeNotInForce,
  describeWrong,
} from '../credentials.ts';
import { errorText } from '../../log/error-text.ts';

/** What is wrong with the files, as one sentence for people. */
export class CredentialFileError extends Error {
  override readonly name = 'CredentialFileError';
  /** The same without what to do. */
  readonly wrong: string;

  constructor(file: CredentialFile, wrong: string, path = file.path) {
    super(describeWrong(file, wrong, path));
    this.wrong = `${path} ${wrong}`;
  }
}

/** The keys of the configuration's `health` that name files. */
export type CredentialPaths = {
  readonly caFile: string;
  readonly clientCertFile: string | null;
  readonly clientKeyFile: string | null;
};

/**
 * What the checks begin with. The CA must be in force at `nowMs` (wall clock), as no check could succeed. A client
 * certificate need not: API servers answer 401, which shows that they live. Throws CredentialFileError.
 */
export function readCredentials(paths: CredentialPaths, nowMs: number = Date.now()): Credentials {
  const { caFile: ca, clientCertFile: cert, clientKeyFile: key } = paths;
  return {
    ca: readCaInForce(ca, nowMs),
    client: cert === null || key === null ? null : readClientPair(cert, key),
  };
}

/** As readCa, but one of the certificates must be in force at `nowMs` (wall clock). */
export function readCaInForce(path: string, nowMs: number = Date.now()): CaCertificates {
  const ca = readCa(path);
  const notInForce = describeNotInForce(ca.periods, nowMs);
  if (notInForce !== null) throw new CredentialFileError(caFile(path), notInForce);
  return ca;
}

/**
 * The certificates of the file, whatever the time; there may be several, as in a rotation. Throws CredentialFileError.
 */
export function readCa(path: string): CaCertificates {
  const file = caFile(path);
  const pem = readText(file, path);
  return { pem, periods: readCertificates(file, pem).map(periodOf) };
}

/**
 * A certificate and its private key, whatever the time. Behind the certificate there may be those of the CAs between it
 * and the cluster's. Throws CredentialFileError.
 */
export function readClientPair(certPath: string, keyPath: string): ClientPair {
  const file = clientCertFile(certPath);
  const cert = readText(file, certPath);
  const [certificate] = readCertificates(file, cert);
  const key = readText(file, keyPath);
  if (certificate?.checkPrivateKey(readKey(file, key, keyPath)) !== true)
    throw new CredentialFileError(file, `is not the private key of ${certPath}`, keyPath);
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new CredentialFileError(file, `is refused by OpenSSL (${errorText(error)})`);
  }
  return { cert, key, periods: [periodOf(certificate)] };
}

/**
 * Whether the path leads to a file that its folder no longer has: a file that is mounted by itself, as in a pod, and
 * has been replaced by another one (rename(2)) or removed. What is there now cannot be read through the mount.
 */
export function isReplaced(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.nlink === 0;
}

/** More than any of these files has; whatever lies there instead is not read. */
const MAX_FILE_BYTES = 1024 * 1024;

const READ_FAILURES: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'does not exist'],
  ['ENOTDIR', 'does not exist'],
  ['EACCES', 'may not be read by this user'],
]);

function readText(file: CredentialFile, path: string): string {
  try {
    const stats = statSync(path);
    if (stats.isDirectory()) throw new CredentialFileError(file, 'is a directory', path);
    // Reading a pipe would wait for its writer.
    if (!stats.isFile()) throw new CredentialFileError(file, 'is not a file', path);
    if (stats.size > MAX_FILE_BYTES) throw new CredentialFileError(file, 'is larger than 1 MiB', path);
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof CredentialFileError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new CredentialFileError(file, READ_FAILURES.get(code) ?? `cannot be read (${code})`, path);
  }
}

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/g;

/** At least one. */
function readCertificates(file: CredentialFile, text: string): X509Certificate[] {
  const blocks = [...text.matchAll(PEM_BLOCK)].map(([block, label = '']) => ({ block, label }));
  // OpenSSL would take the whole ones, and not say a word.
  if (text.replaceAll(PEM_BLOCK, '').includes('-----BEGIN'))
    throw new CredentialFileError(file, 'ends within a PEM block');
  if (blocks.length === 0)
    throw new CredentialFileError(file, 'is not PEM: it has no -----BEGIN CERTIFICATE----- block');
  const certificates = blocks
    .filter(({ label }) => label === 'CERTIFICATE')
    .map(({ block }) => parseCertificate(file, block));
  if (certificates.length === 0) {
    const labels = blocks.map(({ label }) => label.toLowerCase()).join(', ');
    throw new CredentialFileError(file, `holds no certificate, but: ${labels}`);
  }
  return certificates;
}

function parseCertificate(file: CredentialFile, block: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch {
    throw new CredentialFileError(file, 'holds a certificate that is damaged');
  }
}

function readKey(file: CredentialFile, pem: string, path: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new CredentialFileError(file, 'is not a private key in PEM without a passphrase', path);
  }
}

function periodOf({ validFromDate, validToDate }: X509Certificate): Period {
  return { fromMs: validFromDate.getTime(), toMs: validToDate.getTime() };
}
