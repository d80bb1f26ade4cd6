/** Certificates of a lab, made at run time with openssl: one authority and one certificate per server. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

// One small P-256 handshake costs little, and the lab does many.
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '365'];

export type Certificate = { readonly certFile: string; readonly keyFile: string };

/** A certificate authority whose files lie in a folder of the lab. */
export class CertificateAuthority {
  readonly certFile: string;
  readonly #keyFile: string;
  readonly #folder: string;

  private constructor(folder: string, name: string) {
    this.#folder = folder;
    this.certFile = join(folder, `${name}.crt`);
    this.#keyFile = join(folder, `${name}.key`);
  }

  static async create(folder: string, name = 'ca'): Promise<CertificateAuthority> {
    const authority = new CertificateAuthority(folder, name);
    const files = ['-keyout', authority.#keyFile, '-out', authority.certFile];
    await run('openssl', ['req', '-x509', ...NEW_KEY, ...files, '-subj', `/CN=lab-${name}`]);
    return authority;
  }

  /** A certificate with these IP addresses as subject alternative names, for servers and clients alike. */
  async issue(name: string, addresses: readonly string[], subject = `/CN=${name}`): Promise<Certificate> {
    const certificate = {
      certFile: join(this.#folder, `${name}.crt`),
      keyFile: join(this.#folder, `${name}.key`),
    };
    const names = addresses.map((address) => `IP:${address}`).join(',');
    const signing = ['-CA', this.certFile, '-CAkey', this.#keyFile];
    const files = ['-keyout', certificate.keyFile, '-out', certificate.certFile];
    const extensions = [`subjectAltName=${names}`, 'basicConstraints=critical,CA:FALSE'];
    const added = extensions.flatMap((extension) => ['-addext', extension]);
    await run('openssl', ['req', '-x509', ...NEW_KEY, ...signing, ...files, '-subj', subject, ...added]);
    return certificate;
  }
}
