/** One line of `kube-vrrp check`. */

export type CheckResult = {
  readonly name: string;
  /** `warn`: it may be as it should at this stage, such as before kubeadm init. `fail`: kube-vrrp would not work. */
  readonly level: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** What to do; null where there is nothing to do. */
  readonly fix: string | null;
};

export function ok(name: string, message: string): CheckResult {
  return { name, level: 'ok', message, fix: null };
}

export function warn(name: string, message: string, fix: string): CheckResult {
  return { name, level: 'warn', message, fix };
}

export function fail(name: string, message: string, fix: string): CheckResult {
  return { name, level: 'fail', message, fix };
}
