/** One check of one backend: a connection of its own, a full TLS handshake, GET, and the end of the answer. */
import { type SecureContext, type TLSSocket, connect, createSecureContext } from 'node:tls';
import { Client, errors } from 'undici';
import { type IpAddress, formatHostPort } from '../../ip/address.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { type CheckStage, describeFailure, describeTimeout, isUnverifiable, judgeStatus } from '../detail.ts';
import type { ClientPair } from '../credentials.ts';
import type { CheckOutcome } from '../tracker.ts';

/** Enough for any answer of /healthz; reading more says nothing new. */
const BODY_MAX_BYTES = 4096;

/**
 * Asked after the check, on its connection. During --shutdown-delay-duration of an API server this alone fails, while
 * /healthz and /livez stay good: it finishes what it has, and wants no new clients.
 */
const READY_PATH = '/readyz';
/** What is no answer to the question: not found, or not allowed, which the check itself reports. */
const NO_ANSWER: ReadonlySet<number> = new Set([401, 403, 404]);

export type ProbeTarget = {
  readonly address: IpAddress;
  readonly port: number;
  readonly path: string;
  readonly trust: SecureContext;
  /** For everything together: connect, handshake, headers, body. */
  readonly timeoutMs: number;
};

/**
 * Trust in the certificates of `ca` (PEM) and in no others. An intermediate CA in it is trusted without its root, as
 * Kubernetes' own clients do (kubeadm's ca.crt may be one). `client` is shown
 * to servers that ask for it. Throws on text that is not PEM, or a key that is not the certificate's.
 */
export function trustOnly(ca: string, client: Pick<ClientPair, 'cert' | 'key'> | null = null): SecureContext {
  const shown = client === null ? {} : { cert: client.cert, key: client.key };
  return createSecureContext({ ca, allowPartialTrustChain: true, ...shown });
}

/**
 * Checks the backend once; never rejects. Each check has a fresh connection and a full handshake: a kept-alive one
 * would go on succeeding after the listener has died, and a resumed session after the certificate has expired or
 * changed. When `signal` fires the check ends at once, with an outcome that means nothing.
 */
export async function probe(target: ProbeTarget, signal: AbortSignal): Promise<CheckOutcome> {
  const startedMs = monotonicMs();
  const connection: Connection = { stage: 'connect', socket: null, judgment: null };
  const client = openClient(target, connection);
  const ending = Promise.withResolvers<'timeout' | 'stopped'>();
  const timer = setTimeout(() => ending.resolve('timeout'), target.timeoutMs);
  const stop = (): void => ending.resolve('stopped');
  signal.addEventListener('abort', stop, { once: true });
  const result = await Promise.race([exchange(client, target, connection), ending.promise]);
  const durationMs = monotonicMs() - startedMs;
  signal.removeEventListener('abort', stop);
  clearTimeout(timer);
  // undici alone would let a connection that is still being made go on. Nothing here waits for undici, so that no
  // fault of its could hold up the checks.
  void client.destroy();
  connection.socket?.destroy();
  return { ...judge(result, target, connection), startedMs, durationMs };
}

type Judgment = Pick<CheckOutcome, 'ok' | 'ready' | 'refused' | 'unverified' | 'detail'>;

/** `judgment`: of the check, when only the question for readiness is open. */
type Connection = { stage: CheckStage; socket: TLSSocket | null; judgment: Judgment | null };

function judge(
  result: Judgment | 'timeout' | 'stopped',
  target: ProbeTarget,
  { stage, judgment }: Connection,
): Judgment {
  if (typeof result !== 'string') return result;
  if (judgment !== null) return judgment;
  return failure(result === 'timeout' ? describeTimeout(target.timeoutMs, stage) : result);
}

function openClient({ address, port, trust }: ProbeTarget, connection: Connection): Client {
  return new Client(`https://${formatHostPort(address, port)}`, {
    // The deadline of the whole check makes undici's own needless.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: (_options, callback) => {
      // An IP address as host: no SNI (RFC 6066 3), and the certificate must have it among its IP addresses.
      const socket = connect({
        host: address.text,
        port,
        secureContext: trust,
        rejectUnauthorized: true,
        ALPNProtocols: ['http/1.1'],
      });
      let connecting = true;
      connection.socket = socket;
      connection.stage = 'connect';
      socket.setNoDelay(true);
      socket.once('connect', () => (connection.stage = 'handshake'));
      socket.once('secureConnect', () => {
        connecting = false;
        connection.stage = 'answer';
        callback(null, socket);
      });
      // Stays for as long as the socket: an error that nobody listens to would end the process.
      socket.on('error', (error) => {
        if (connecting) callback(error, null);
        connecting = false;
      });
    },
  });
}

async function exchange(client: Client, target: ProbeTarget, connection: Connection): Promise<Judgment> {
  try {
    const asksReady = target.path !== READY_PATH;
    const { status, isWhole } = await get(client, connection, target.path, !asksReady);
    const judgment = { ...judgeStatus(status), ready: true };
    if (!judgment.ok || judgment.refused || !isWhole || !asksReady) return judgment;
    connection.judgment = judgment;
    const answer = await get(client, connection, READY_PATH, true);
    const ready = answer.status < 400 || NO_ANSWER.has(answer.status);
    return ready ? judgment : { ...judgment, ready, detail: `${status}, but ${READY_PATH} ${answer.status}` };
  } catch (error) {
    if (connection.judgment !== null) return connection.judgment;
    const code = codeOf(error);
    return {
      ...failure(describeFailure(code, connection.stage, target.address.text)),
      unverified: isUnverifiable(code),
    };
  }
}

async function get(
  client: Client,
  connection: Connection,
  path: string,
  isLast: boolean,
): Promise<{ readonly status: number; readonly isWhole: boolean }> {
  const headers = { 'user-agent': 'kube-vrrp' };
  const { statusCode, body } = await client.request({ path, method: 'GET', headers, reset: isLast });
  connection.stage = 'body';
  let bodyBytes = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    bodyBytes += chunk.length;
    if (bodyBytes > BODY_MAX_BYTES) return { status: statusCode, isWhole: false };
  }
  return { status: statusCode, isWhole: true };
}

function failure(detail: string): Judgment {
  return { ok: false, ready: true, refused: false, unverified: false, detail };
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  // Its code, where it has one, is the parser's own and says no more.
  if (error instanceof errors.HTTPParserError) return error.name;
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
