/** The file of CA certificates that API servers are verified against. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** What is wrong with the CA file, as one sentence for people. */
export class CaFileError extends Error {
  override readonly name = 'CaFileError';
}

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/g;

/**
 * PEM text of the file, which holds at least one CA certificate in force at `nowMs` (wall clock). During a rotation it
 * may hold expired ones beside. Throws CaFileError.
 */
export function readCa(path: string, nowMs: number = Date.now()): string {
  const text = readText(path);
  const blocks = [...text.matchAll(PEM_BLOCK)].map(([block, label = '']) => ({ block, label }));
  if (blocks.length === 0) throw caFileError(path, 'is not PEM: it has no -----BEGIN CERTIFICATE----- block');
  const certificates = blocks
    .filter(({ label }) => label === 'CERTIFICATE')
    .map(({ block }) => parseCertificate(path, block));
  if (certificates.length === 0) {
    throw caFileError(
      path,
      `holds no certificate, but: ${blocks.map(({ label }) => label.toLowerCase()).join(', ')}`,
    );
  }
  const periods = certificates.map(({ validFromDate, validToDate }) => ({
    from: validFromDate,
    to: validToDate,
  }));
  const notOver = periods.filter(({ to }) => to.getTime() >= nowMs);
  if (notOver.length === 0) {
    const latest = new Date(Math.max(...periods.map(({ to }) => to.getTime())));
    throw caFileError(path, `expired on ${latest.toISOString()}`);
  }
  if (notOver.every(({ from }) => from.getTime() > nowMs)) {
    const earliest = new Date(Math.min(...notOver.map(({ from }) => from.getTime())));
    throw caFileError(path, `is not valid before ${earliest.toISOString()}; compare this node's clock`);
  }
  return text;
}

const READ_FAILURES: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'does not exist'],
  ['ENOTDIR', 'does not exist'],
  ['EACCES', 'may not be read by this user'],
  ['EISDIR', 'is a directory'],
]);

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw caFileError(path, READ_FAILURES.get(code) ?? `cannot be read (${code})`);
  }
}

function parseCertificate(path: string, block: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch {
    throw caFileError(path, 'holds a certificate that is damaged');
  }
}

function caFileError(path: string, wrong: string): CaFileError {
  return new CaFileError(`${path} ${wrong}; health.caFile must be the cluster's CA certificate`);
}
