/** One line of `kube-vrrp check`. */

export type CheckResult = {
  readonly name: string;
  /**
   * `ok` is said only of what was looked at, `skip` of what was not. `warn`: it may be right at this stage, such as
   * before kubeadm init. `fail`: kube-vrrp would not work.
   */
  readonly level: 'ok' | 'skip' | 'warn' | 'fail';
  readonly message: string;
  /** What to do; null where there is nothing to do. */
  readonly fix: string | null;
};

export function ok(name: string, message: string): CheckResult {
  return { name, level: 'ok', message, fix: null };
}

/** Not looked at, and the message says why; `fix` is what makes it possible, null where that comes by itself. */
export function skip(name: string, message: string, fix: string | null): CheckResult {
  return { name, level: 'skip', message, fix };
}

export function warn(name: string, message: string, fix: string): CheckResult {
  return { name, level: 'warn', message, fix };
}

export function fail(name: string, message: string, fix: string): CheckResult {
  return { name, level: 'fail', message, fix };
}
