/** `kube-vrrp version`. */
import { VERSION } from '../daemon/version.ts';
import { print } from './terminal.ts';

/** Prints the versions of kube-vrrp and of the Node that runs it. */
export function versionCommand(): number {
  print(`kube-vrrp ${VERSION} (Node ${process.versions.node})`);
  return 0;
}
