/**
 * Imported before everything else: the native modules are compiled for one major version of Node, and with another one
 * the first of them would end the process with a stack trace.
 */
import { readFileSync } from 'node:fs';

const { engines } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  engines: { node: string };
};

const [wanted = ''] = /\d+/.exec(engines.node) ?? [];
const { node: version } = process.versions;
if (version.split('.')[0] !== wanted) {
  process.stderr.write(
    `kube-vrrp: ${process.execPath} is Node ${version}, and kube-vrrp is built for Node ${wanted}: run it with that, as its image and "npm run" do\n`,
  );
  process.exit(1);
}
