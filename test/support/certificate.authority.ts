import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { runProgram } from './program.ts';

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export interface CertificateFiles {
  readonly certificatePath: string;
  readonly keyPath: string;
  /** SHA-256, as Node writes it. */
  readonly fingerprint: string;
}

/** A private authority that lives a day, by openssl. */
export interface CertificateAuthority {
  /** Its own certificate. */
  readonly path: string;
  readonly certificate: string;
  /**
   * Issues a certificate for a server; files of that name are replaced.
   * @param names as openssl writes them, e.g. `DNS:broker,IP:127.0.0.1`
   */
  issue(names: string, folder: string): Promise<CertificateFiles>;
}

export async function certificateAuthority(): Promise<CertificateAuthority> {
  const folder = await temporaryFolder('authority');
  const path = join(folder, 'ca.crt');
  const keyPath = join(folder, 'ca.key');
  const own = ['-keyout', keyPath, '-out', path, '-subj', '/CN=authority', '-days', '1'];
  await runProgram('openssl', ['req', '-x509', ...NEW_KEY, ...own]);
  return {
    path,
    certificate: await readFile(path, 'utf8'),
    issue: async (names, target) => {
      const files = { keyPath: join(target, 'tls.key'), certificatePath: join(target, 'tls.crt') };
      const request = join(folder, 'request');
      const wish = ['-keyout', files.keyPath, '-out', request, '-subj', '/CN=server'];
      await runProgram('openssl', [
        ...['req', ...NEW_KEY, ...wish],
        ...['-addext', `subjectAltName=${names}`],
      ]);
      const signed = ['-CA', path, '-CAkey', keyPath, '-CAcreateserial', '-days', '1'];
      const made = ['-in', request, '-copy_extensions', 'copy', '-out', files.certificatePath];
      await runProgram('openssl', ['x509', '-req', ...made, ...signed]);
      const show = ['x509', '-in', files.certificatePath, '-noout', '-fingerprint', '-sha256'];
      const said = await runProgram('openssl', show);
      return { ...files, fingerprint: said.trim().split('=')[1] ?? '' };
    },
  };
}
