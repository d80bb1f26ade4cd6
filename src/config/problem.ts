/** One thing that is wrong with a configuration, and its one line of text. Pure. */

export type ConfigProblem = {
  /** A key path (`vrrp.vrid`, `peers[1]`), a flag (`--vipp`) or a variable (`KUBE_VRRP_VIPP`). */
  readonly path: string;
  /** The value as it was given, shortened for printing; null when there is none. */
  readonly value: string | null;
  /** What was expected or is wrong, without a full stop. */
  readonly message: string;
  /**
   * Where the value came from: `/etc/kube-vrrp.yaml line 3`, `flag --vip`, `env KUBE_VRRP_VIP`; null when that says
   * nothing.
   */
  readonly where: string | null;
};

const VALUE_MAX_CHARACTERS = 60;

/** A value for an error message: JSON, so that text and numbers differ and control characters are harmless. */
export function quoteValue(value: unknown): string {
  const json = value === undefined ? 'nothing' : JSON.stringify(value);
  return json.length > VALUE_MAX_CHARACTERS ? `${json.slice(0, VALUE_MAX_CHARACTERS)}...` : json;
}

/** `vrrp.vrid = 300: expected a whole number from 1 to 255 (kube-vrrp.yaml line 3)`. */
export function formatProblem(problem: ConfigProblem): string {
  const value = problem.value === null ? '' : ` = ${problem.value}`;
  const where = problem.where === null ? '' : ` (${problem.where})`;
  return `${problem.path}${value}: ${problem.message}${where}`;
}
