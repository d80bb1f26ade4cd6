/** What a check's answer or failure means, and the few plain words that say it. Pure. */

/** How far a check has come. */
export type CheckStage = 'connect' | 'handshake' | 'answer' | 'body';

const STAGE_WORDS: Readonly<Record<CheckStage, string>> = {
  connect: 'while connecting',
  handshake: 'in the TLS handshake',
  answer: 'waiting for the answer',
  body: 'in the middle of the answer',
};

const NOT_SIGNED = 'certificate is not signed by the CA in caFile';
const NO_COMMON_TLS = 'server and check have no TLS version in common';
const FORBIDDEN = 'a firewall or route of this node forbids the connection';

/** What is wrong with the certificate of a server that has shown one (X509_V_ERR_*). */
const CERTIFICATE_WORDS: ReadonlyMap<string, string> = new Map([
  ['UNABLE_TO_GET_ISSUER_CERT', NOT_SIGNED],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', NOT_SIGNED],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', NOT_SIGNED],
  ['CERT_SIGNATURE_FAILURE', NOT_SIGNED],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', NOT_SIGNED],
  ['SELF_SIGNED_CERT_IN_CHAIN', NOT_SIGNED],
  ['CERT_UNTRUSTED', NOT_SIGNED],
  ['CERT_HAS_EXPIRED', 'certificate, or the CA that signed it, has expired'],
  ['CERT_NOT_YET_VALID', "certificate is not valid yet (compare the nodes' clocks)"],
  ['INVALID_PURPOSE', 'certificate is not one for servers'],
]);
const WRONG_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID';

/** By errno (connect(2)), X509_V_ERR_* and ERR_SSL_* (OpenSSL), UND_ERR_* (undici), else by the name of the error. */
const FAILURE_WORDS: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'connection refused'],
  ['EHOSTUNREACH', 'host unreachable'],
  ['EHOSTDOWN', 'host unreachable'],
  ['ENETUNREACH', 'network unreachable'],
  ['ENETDOWN', 'network is down'],
  ['EADDRNOTAVAIL', 'this node has no address or free port to connect from'],
  ['EAFNOSUPPORT', 'this node does not have that address family'],
  ['EACCES', FORBIDDEN],
  ['EPERM', FORBIDDEN],
  ['EMFILE', 'too many open files in this process'],
  ['ENFILE', 'too many open files on this node'],
  ...CERTIFICATE_WORDS,
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'server does not speak TLS'],
  ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', NO_COMMON_TLS],
  ['ERR_SSL_UNSUPPORTED_PROTOCOL', NO_COMMON_TLS],
  ['ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL', 'server does not speak HTTP/1.1'],
  ['ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE', 'server refuses the TLS handshake'],
  ['UND_ERR_HEADERS_OVERFLOW', 'headers of the answer are too large'],
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'connection closed in the middle of the answer'],
]);

/**
 * What went wrong, for people. `code` is the error's code, or its name when it has none; `host` the address that was
 * checked. An unforeseen code is shown as it is.
 */
export function describeFailure(code: string, stage: CheckStage, host: string): string {
  switch (code) {
    case WRONG_NAME:
      return `certificate does not name ${host}`;
    case 'ETIMEDOUT':
      return `timeout ${STAGE_WORDS[stage]}`;
    // Node reports a connection that is closed in the handshake, orderly or not, as reset.
    case 'ECONNRESET':
    case 'EPIPE':
    case 'UND_ERR_SOCKET':
      return `connection ${code === 'UND_ERR_SOCKET' ? 'closed' : 'reset'} ${STAGE_WORDS[stage]}`;
    // A chunked answer that breaks off is one that cannot be parsed.
    case 'HTTPParserError':
      return stage === 'body' ? 'answer is malformed or breaks off' : 'answer is not HTTP/1.1';
    default:
      return FAILURE_WORDS.get(code) ?? `failed ${STAGE_WORDS[stage]} (${code})`;
  }
}

/** Whether the server has answered with a certificate that this node cannot verify; see CheckOutcome. */
export function isUnverifiable(code: string): boolean {
  return code === WRONG_NAME || CERTIFICATE_WORDS.has(code);
}

/** A check that was ended because its time was over. */
export function describeTimeout(timeoutMs: number, stage: CheckStage): string {
  return `timeout after ${timeoutMs} ms ${STAGE_WORDS[stage]}`;
}

/**
 * What an HTTP status says: 2xx is healthy. 401 and 403 come from a server that lives but does not let anonymous
 * requests in (--anonymous-auth=false); it is not taken out of service for that. Any other status below 500, such as
 * 404 for a path that this version does not have, says nothing about the server's health.
 */
export function judgeStatus(status: number): {
  ok: boolean;
  refused: boolean;
  unverified: boolean;
  detail: string;
} {
  const refused = status === 401 || status === 403;
  const good = status >= 200 && status <= 299;
  const ok = good || refused;
  return {
    ok,
    refused,
    unverified: !ok && status < SERVER_ERROR,
    detail: good ? `${status}` : `status ${status}`,
  };
}

/** From here on a status says that the server has failed; below, that the question was wrong (RFC 9110 15.5, 15.6). */
const SERVER_ERROR = 500;
