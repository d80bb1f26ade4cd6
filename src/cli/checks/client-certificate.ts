/** The check of the client certificate that health checks show, where there is one. */
import type { Config } from '../../config/config.ts';
import { clientCertFile, describeEnd, describeNotInForce } from '../../health/credentials.ts';
import { CredentialFileError, readClientPair } from '../../health/driver/credential-files.ts';
import { fail, ok, warn, type CheckResult } from './result.ts';

const NAME = 'client certificate';

/** Nothing without `health.clientCertFile`. `nowMs` is wall-clock time. */
export function checkClientCertificate(
  { health: { clientCertFile: certPath, clientKeyFile: keyPath } }: Config,
  nowMs: number = Date.now(),
): CheckResult[] {
  if (certPath === null || keyPath === null) return [];
  const file = clientCertFile(certPath);
  try {
    const pair = readClientPair(certPath, keyPath);
    const notInForce = describeNotInForce(pair.periods, nowMs);
    if (notInForce !== null) return [fail(NAME, `${certPath} ${notInForce}`, file.renewal)];
    const end = describeEnd(file, pair, nowMs);
    if (end !== null) return [warn(NAME, end, file.renewal)];
    return [ok(NAME, `${certPath} and ${keyPath} belong together`)];
  } catch (error) {
    if (!(error instanceof CredentialFileError)) throw error;
    return [fail(NAME, error.wrong, file.demand)];
  }
}
