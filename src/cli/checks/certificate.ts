/** Checks of the cluster CA and of the certificate that the API server of this node shows. */
import type { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { connect } from 'node:tls';

import type { Config } from '../../config/config.ts';
import { CredentialFileError, readCaInForce } from '../../health/driver/credential-files.ts';
import { formatHostPort, ipFromOctets, type IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { errorCode } from '../system-errors.ts';
import { fail, ok, warn, type CheckResult } from './result.ts';

const HANDSHAKE_TIMEOUT_MS = 2500;

/** What the API server showed. */
type Shown = {
  readonly certificate: X509Certificate;
  /** Why the CA does not vouch for it (`CERT_HAS_EXPIRED`); null where it does or no CA was given. */
  readonly objection: string | null;
};

type Handshake = Shown | { readonly failure: string; readonly listens: boolean };

/** Shakes hands without insisting on trust, since the certificate itself is what is asked for. */
function readCertificate(host: IpAddress, port: number, ca: string | null): Promise<Handshake> {
  return new Promise((resolve) => {
    const socket = connect({
      host: host.text,
      port,
      rejectUnauthorized: false,
      // Which names are in it is judged by the caller.
      checkServerIdentity: () => undefined,
      ...(ca === null ? {} : { ca }),
    });
    const finish = (handshake: Handshake): void => {
      socket.destroy();
      resolve(handshake);
    };
    socket.setTimeout(HANDSHAKE_TIMEOUT_MS, () => finish({ failure: 'it does not answer', listens: true }));
    socket.once('error', (error) => {
      const code = errorCode(error);
      finish({ failure: code || errorText(error), listens: code !== 'ECONNREFUSED' });
    });
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate();
      if (certificate === undefined) finish({ failure: 'it shows no certificate', listens: true });
      else
        finish({
          certificate,
          objection: ca === null || socket.authorized ? null : describeObjection(socket.authorizationError),
        });
    });
  });
}

/** Node's types say Error; in fact it is the name of OpenSSL's verification error. */
function describeObjection(error: unknown): string {
  return error instanceof Error ? errorCode(error) || error.message : String(error);
}

/** Judges the names in a certificate: clients verify it against the VIP they connect to. */
function judgeNames(
  vips: readonly IpAddress[],
  certificate: Pick<X509Certificate, 'checkIP' | 'subjectAltName'>,
): CheckResult {
  const missing = vips.filter(({ text }) => certificate.checkIP(text) === undefined).map(({ text }) => text);
  const vipTexts = vips.map(({ text }) => text).join(' and ');
  if (missing.length === 0) return ok('certificate', `the API server's certificate has ${vipTexts}`);
  const names = certificate.subjectAltName ?? 'no names';
  const fix = `add ${missing.join(' and ')} to apiServer.certSANs of the ClusterConfiguration, remove /etc/kubernetes/pki/apiserver.crt and apiserver.key, run "kubeadm init phase certs apiserver" with it, and restart the API server`;
  return fail(
    'certificate',
    `the API server's certificate lacks ${missing.join(' and ')}; it has ${names}`,
    fix,
  );
}

const OBJECTION_TEXTS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'the certificate has expired: "kubeadm certs renew apiserver"',
  CERT_NOT_YET_VALID: 'the certificate is not valid yet: see the clock of this node',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'the certificate is self-signed: health.caFile has to be the CA of this cluster',
};

function judgeTrust(caFile: string, objection: string | null): CheckResult {
  if (objection === null) return ok('CA', `${caFile} vouches for the API server's certificate`);
  const fix = OBJECTION_TEXTS[objection] ?? 'health.caFile has to be the CA of this cluster';
  return fail('CA', `${caFile} does not vouch for the API server's certificate (${objection})`, fix);
}

type Ca = { readonly pem: string } | { readonly wrong: string; readonly missing: boolean };

function tryReadCa(caFile: string): Ca {
  try {
    return { pem: readCaInForce(caFile).pem };
  } catch (error) {
    if (!(error instanceof CredentialFileError)) throw error;
    return { wrong: error.message, missing: !existsSync(caFile) };
  }
}

/** Where the API server of this node is looked for when none of its addresses is in peers. */
const LOOPBACK = ipFromOctets(Uint8Array.of(127, 0, 0, 1));

/** Whether the API server of this node can be reached by the VIP and checked with the CA. `self` is null when not known. */
export async function checkCertificate(
  { vips, proxy, health }: Config,
  self: IpAddress | null,
): Promise<CheckResult[]> {
  const host = self ?? LOOPBACK;
  const ca = tryReadCa(health.caFile);
  const where = formatHostPort(host, proxy.backendPort);
  const handshake = await readCertificate(host, proxy.backendPort, 'pem' in ca ? ca.pem : null);
  const absent = 'failure' in handshake && !handshake.listens;
  const results: CheckResult[] = [];
  if ('wrong' in ca && ca.missing && absent) {
    results.push(
      warn('CA', ca.wrong, 'nothing, if kubeadm init or join is still to come: it makes the file'),
    );
  } else if ('wrong' in ca) {
    results.push(fail('CA', ca.wrong, 'set health.caFile to the CA certificate of the cluster'));
  } else if ('certificate' in handshake) results.push(judgeTrust(health.caFile, handshake.objection));
  else results.push(ok('CA', `${health.caFile} can be read; there is no certificate to hold it against`));

  if ('certificate' in handshake) return [...results, judgeNames(vips, handshake.certificate)];
  const vipTexts = vips.map(({ text }) => text).join(' and ');
  if (absent) {
    const later = `nothing listens on ${where}, so there is no certificate to look at; it will need ${vipTexts} among its names`;
    return [...results, ok('certificate', later)];
  }
  const fix = 'see what listens there: it does not speak TLS as an API server does';
  return [...results, warn('certificate', `${where} shows no certificate: ${handshake.failure}`, fix)];
}
