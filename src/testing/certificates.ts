/** Certificates for tests, made anew by Debian's `openssl`: Node can read certificates but not make them. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** PEM text of a certificate and its private key (EC P-256, as quick to make as to use). */
export type KeyPair = { readonly cert: string; readonly key: string };

export type LeafOptions = {
  /** What the certificate is for: `IP:127.0.0.1`, `DNS:localhost`. */
  readonly names: readonly string[];
  /** Days from now; negative: expired. */
  readonly days?: number;
  /** True: an intermediate CA. */
  readonly isCa?: boolean;
  readonly usage?: 'serverAuth' | 'clientAuth';
};

/** A certificate authority that lives as long as the test. */
export class TestCa {
  readonly pair: KeyPair;

  private constructor(pair: KeyPair) {
    this.pair = pair;
  }

  /** A self-signed CA, good for ten years. */
  static create(commonName = 'kubernetes'): Promise<TestCa> {
    return inTemporaryFolder(async (folder) => {
      const files = ['-keyout', join(folder, 'key'), '-out', join(folder, 'cert')];
      await openssl('req', '-x509', ...NEW_KEY, '-days', '3650', '-subj', `/CN=${commonName}`, ...files);
      return new TestCa(await readPair(folder));
    });
  }

  /** A CA around a certificate that another CA issued with `isCa`. */
  static from(pair: KeyPair): TestCa {
    return new TestCa(pair);
  }

  issue({ names, days = 365, isCa = false, usage = 'serverAuth' }: LeafOptions): Promise<KeyPair> {
    return inTemporaryFolder(async (folder) => {
      const file = (name: string): string => join(folder, name);
      const purpose = isCa ? 'basicConstraints=critical,CA:TRUE' : `extendedKeyUsage=${usage}`;
      await writeFile(file('extensions'), `subjectAltName=${names.join(',')}\n${purpose}\n`);
      await writeFile(file('ca'), this.pair.cert);
      await writeFile(file('ca-key'), this.pair.key, { mode: 0o600 });
      const subject = ['-subj', `/CN=${isCa ? 'intermediate' : 'kube-apiserver'}`];
      await openssl('req', ...NEW_KEY, ...subject, '-keyout', file('key'), '-out', file('request'));
      const by = ['-CA', file('ca'), '-CAkey', file('ca-key'), '-CAcreateserial', '-days', String(days)];
      const what = ['-in', file('request'), '-extfile', file('extensions'), '-out', file('cert')];
      await openssl('x509', '-req', ...by, ...what);
      return readPair(folder);
    });
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

async function openssl(...parameters: readonly string[]): Promise<void> {
  try {
    await run('openssl', parameters);
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    throw missing
      ? new Error('these tests need the openssl command: apt-get install openssl', { cause: error })
      : error;
  }
}

async function readPair(folder: string): Promise<KeyPair> {
  const [cert, key] = await Promise.all(['cert', 'key'].map((name) => readFile(join(folder, name), 'utf8')));
  return { cert: cert ?? '', key: key ?? '' };
}

async function inTemporaryFolder<Value>(use: (folder: string) => Promise<Value>): Promise<Value> {
  const folder = await mkdtemp(join(tmpdir(), 'kube-vrrp-test-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
