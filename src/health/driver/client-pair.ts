/** The files of the client certificate that checks show to API servers which refuse anonymous requests. */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { ClientPair } from './probe.ts';

/** What is wrong with the files, as one sentence for people. */
export class ClientPairError extends Error {
  override readonly name = 'ClientPairError';
}

/** PEM texts of the files, which hold a certificate and its private key; null without paths. Throws ClientPairError. */
export function readClientPair(certFile: string | null, keyFile: string | null): ClientPair | null {
  if (certFile === null || keyFile === null) return null;
  const pair = {
    cert: readText('health.clientCertFile', certFile),
    key: readText('health.clientKeyFile', keyFile),
  };
  try {
    createSecureContext(pair);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClientPairError(
      `${certFile} and ${keyFile} are not a certificate and its private key in PEM (${reason}); see health.clientCertFile and health.clientKeyFile`,
    );
  }
  return pair;
}

function readText(key: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new ClientPairError(`${path} cannot be read (${code}); it is what ${key} names`);
  }
}
