/**
 * Checks of the cluster CA and of the API servers of all control-plane nodes: the names that clients want in their
 * certificates, and the health check itself, exactly as the daemon makes it.
 */
import type { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { connect } from 'node:tls';

import { backendPeers, type Config } from '../../config/config.ts';
import { CredentialFileError, readCaInForce, readClientPair } from '../../health/driver/credential-files.ts';
import { probe, trustOnly } from '../../health/driver/probe.ts';
import type { CheckOutcome } from '../../health/tracker.ts';
import { formatHostPort, ipFromOctets, type IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { errorCode } from '../system-errors.ts';
import { fail, ok, skip, warn, type CheckResult } from './result.ts';

const HANDSHAKE_TIMEOUT_MS = 2500;

/** What the API server showed. */
type Shown = {
  readonly certificate: X509Certificate;
  /** Why the CA does not vouch for it (`CERT_HAS_EXPIRED`); null where it does or no CA was given. */
  readonly objection: string | null;
};

type Failure = {
  readonly failure: string;
  /** False where the connection is refused. */
  readonly listens: boolean;
  /** Whether TCP connected. */
  readonly connected: boolean;
};

type Handshake = Shown | Failure;

/** Shakes hands without insisting on trust, since the certificate itself is what is asked for. */
function readCertificate(host: IpAddress, port: number, ca: string | null): Promise<Handshake> {
  return new Promise((resolve) => {
    const socket = connect({
      host: host.text,
      port,
      rejectUnauthorized: false,
      // Which names are in it is judged by the caller.
      checkServerIdentity: () => undefined,
      ...(ca === null ? {} : { secureContext: trustOnly(ca) }),
    });
    let connected = false;
    const finish = (handshake: Handshake): void => {
      socket.destroy();
      resolve(handshake);
    };
    const refuse = (failure: string, listens = true): void => finish({ failure, listens, connected });
    socket.setTimeout(HANDSHAKE_TIMEOUT_MS, () => refuse('it does not answer'));
    socket.once('connect', () => (connected = true));
    socket.once('error', (error) => {
      const code = errorCode(error);
      refuse(code || errorText(error), code !== 'ECONNREFUSED');
    });
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate();
      if (certificate === undefined) refuse('it shows no certificate');
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

/** One API server: where it is looked for, and what the lines about it are called. */
type ApiServer = { readonly address: IpAddress; readonly where: string; readonly local: boolean };

function certificateName({ address, local }: ApiServer): string {
  return local ? 'certificate' : `certificate ${address.text}`;
}

/** Judges the names in a certificate: clients verify it against the VIP, whichever API server the proxy gives them. */
function judgeNames(
  vips: readonly IpAddress[],
  server: ApiServer,
  certificate: X509Certificate,
): CheckResult {
  const name = certificateName(server);
  const missing = vips.filter(({ text }) => certificate.checkIP(text) === undefined).map(({ text }) => text);
  const vipTexts = vips.map(({ text }) => text).join(' and ');
  if (missing.length === 0) return ok(name, `the certificate of ${server.where} names ${vipTexts}`);
  const fix = `add ${missing.join(' and ')} to apiServer.certSANs of the ClusterConfiguration, remove /etc/kubernetes/pki/apiserver.crt and apiserver.key${server.local ? '' : ' on that node'}, run "kubeadm init phase certs apiserver" with it, and restart the API server`;
  return fail(
    name,
    `the certificate of ${server.where} lacks ${missing.join(' and ')}; it has ${namesIn(certificate)}`,
    fix,
  );
}

function namesIn({ subjectAltName }: X509Certificate): string {
  return subjectAltName ?? 'no names';
}

const OBJECTION_TEXTS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'the certificate has expired: "kubeadm certs renew apiserver"',
  CERT_NOT_YET_VALID: 'the certificate is not valid yet: see the clock of this node',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'the certificate is self-signed: health.caFile has to be the CA of this cluster',
};

function objectionFix(objection: string): string {
  return OBJECTION_TEXTS[objection] ?? 'health.caFile has to be the CA of this cluster';
}

function judgeTrust(caFile: string, objection: string | null): CheckResult {
  if (objection === null) return ok('CA', `${caFile} vouches for the API server's certificate`);
  const message = `${caFile} does not vouch for the API server's certificate (${objection})`;
  return fail('CA', message, objectionFix(objection));
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

function judgeCa({ caFile }: Config['health'], ca: Ca, handshake: Handshake): CheckResult {
  const absent = 'failure' in handshake && !handshake.listens;
  if ('wrong' in ca && ca.missing && absent)
    return warn('CA', ca.wrong, 'nothing, if kubeadm init or join is still to come: it makes the file');
  if ('wrong' in ca) return fail('CA', ca.wrong, 'set health.caFile to the CA certificate of the cluster');
  if ('certificate' in handshake) return judgeTrust(caFile, handshake.objection);
  return ok('CA', `${caFile} can be read; no certificate of an API server was there to verify with it`);
}

/** The one line of an API server that no TCP connection reaches. */
function judgeAbsent(vips: readonly IpAddress[], server: ApiServer, failure: Failure): CheckResult {
  const { where, local } = server;
  const vipTexts = vips.map(({ text }) => text).join(' and ');
  const what = failure.listens
    ? `${where} cannot be reached (${failure.failure})`
    : `nothing listens on ${where}`;
  const later = local ? `; its certificate will need ${vipTexts} among its names` : '';
  return skip(
    certificateName(server),
    `${what}, so neither certificate nor health was looked at${later}`,
    null,
  );
}

function judgeCertificate(vips: readonly IpAddress[], server: ApiServer, handshake: Handshake): CheckResult {
  if ('certificate' in handshake) return judgeNames(vips, server, handshake.certificate);
  const fix = 'see what listens there: it does not speak TLS as an API server does';
  return warn(certificateName(server), `${server.where} shows no certificate: ${handshake.failure}`, fix);
}

type Checked = { readonly outcome: CheckOutcome } | { readonly unchecked: string };

/** The daemon's own check of one API server, once. */
async function checkHealth({ proxy, health }: Config, { address }: ApiServer, ca: Ca): Promise<Checked> {
  if ('wrong' in ca) return { unchecked: 'there is no CA to verify it with' };
  const { clientCertFile: cert, clientKeyFile: key, path, timeoutMs } = health;
  try {
    const client = cert === null || key === null ? null : readClientPair(cert, key);
    const target = { address, port: proxy.backendPort, path, trust: trustOnly(ca.pem, client), timeoutMs };
    return { outcome: await probe(target, new AbortController().signal) };
  } catch (error) {
    if (!(error instanceof CredentialFileError)) throw error;
    return { unchecked: 'the client certificate cannot be used' };
  }
}

function judgeHealth(
  { health }: Config,
  server: ApiServer,
  handshake: Handshake,
  checked: Checked,
): CheckResult {
  const name = `health ${server.address.text}`;
  if ('unchecked' in checked)
    return skip(name, `${server.where} was not checked as the daemon does: ${checked.unchecked}`, null);
  const { ok: passed, ready, refused, detail } = checked.outcome;
  const path = `${server.where}${health.path}`;
  if (refused) {
    const fix =
      'set health.clientCertFile and health.clientKeyFile, or let the API server answer it anonymously';
    return warn(name, `${path} does not allow the health check: ${detail}`, fix);
  }
  if (passed && ready) return ok(name, `${path} passes the health check: ${detail}`);
  if (passed) return warn(name, `${path} is healthy but not ready: ${detail}`, 'wait until it is ready');
  if ('failure' in handshake)
    return warn(name, `${path} fails the health check: ${detail}`, 'see that it runs');
  const { certificate, objection } = handshake;
  if (objection !== null)
    return fail(name, `${path} fails the health check: ${detail}`, objectionFix(objection));
  if (certificate.checkIP(server.address.text) !== undefined)
    return warn(name, `${path} fails the health check: ${detail}`, 'see the log of that API server');
  const fix = `add ${server.address.text} to apiServer.certSANs and make the certificate of that node anew, or list in peers the addresses that the certificates name`;
  return fail(name, `${path} fails the health check: ${detail}; it names ${namesIn(certificate)}`, fix);
}

/** Results of one API server: its certificate and its health check. */
async function checkApiServer(
  config: Config,
  server: ApiServer,
  ca: Ca,
): Promise<readonly [Handshake, CheckResult[]]> {
  const [handshake, checked] = await Promise.all([
    readCertificate(server.address, config.proxy.backendPort, 'pem' in ca ? ca.pem : null),
    checkHealth(config, server, ca),
  ]);
  if ('failure' in handshake && !handshake.connected)
    return [handshake, [judgeAbsent(config.vips, server, handshake)]];
  const certificate = judgeCertificate(config.vips, server, handshake);
  return [handshake, [certificate, judgeHealth(config, server, handshake, checked)]];
}

/**
 * Whether clients can verify the API servers by the VIP, and whether the daemon's own checks of them succeed. `isOwn`
 * knows the addresses of this node.
 */
export async function checkApiServers(
  config: Config,
  isOwn: (address: IpAddress) => boolean,
): Promise<CheckResult[]> {
  const { proxy, health } = config;
  const ca = tryReadCa(health.caFile);
  const serverAt = (address: IpAddress, local: boolean): ApiServer => ({
    address,
    where: formatHostPort(address, proxy.backendPort),
    local,
  });
  const peers = backendPeers(config);
  const own = peers.find(isOwn);
  const others = peers.filter((peer) => peer !== own).map((peer) => serverAt(peer, false));
  const [[handshake, ownResults], ...rest] = await Promise.all([
    checkApiServer(config, serverAt(own ?? LOOPBACK, true), ca),
    ...others.map((server) => checkApiServer(config, server, ca)),
  ]);
  // The daemon does not check the loopback address, whose name is in no certificate.
  const ownShown = own === undefined ? ownResults.slice(0, 1) : ownResults;
  // Where the own API server does not run yet, the CA is held against one that does.
  const shown = [handshake, ...rest.map(([other]) => other)].find((one) => 'certificate' in one);
  return [judgeCa(health, ca, shown ?? handshake), ...ownShown, ...rest.flatMap(([, results]) => results)];
}
