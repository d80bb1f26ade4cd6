/** What the configuration of another program says in kube-vrrp's terms, and what of it has no place there. Pure. */

/** A value as a configuration file has it. */
export type PlainValue = string | number | readonly string[];

export type ImportedValue = {
  readonly value: PlainValue;
  /** `keepalived.conf line 12`. */
  readonly where: string;
};

/** Something that a person should know: it was left out, or is different now. */
export type Finding = { readonly where: string; readonly text: string };

export type Imported = {
  /** By the path of the field: `vrrp.vrid`. */
  readonly values: ReadonlyMap<string, ImportedValue>;
  readonly findings: readonly Finding[];
};

/** Collects what is found in one file. */
export class Importing {
  readonly values = new Map<string, ImportedValue>();
  readonly #findings: { readonly line: number; readonly finding: Finding }[] = [];
  readonly #fileName: string;

  constructor(fileName: string) {
    this.#fileName = fileName;
  }

  /** In the order of the file, those of the whole file first. */
  get findings(): readonly Finding[] {
    return this.#findings.toSorted((a, b) => a.line - b.line).map(({ finding }) => finding);
  }

  /** `line` counts from 1. */
  set(path: string, value: PlainValue, line: number): void {
    this.values.set(path, { value, where: this.where(line) });
  }

  /** What the other program takes where the file is silent, as it is for what begins at this line. */
  setDefault(path: string, value: PlainValue, line: number): void {
    this.values.set(path, { value, where: `${this.where(line)}, by default` });
  }

  /** One sentence without a full stop; `line` null speaks of the whole file. */
  find(text: string, line: number | null): void {
    const where = line === null ? this.#fileName : this.where(line);
    this.#findings.push({ line: line ?? 0, finding: { where, text } });
  }

  /** `what` of the file has no place here. */
  leaveOut(what: string, why: string, line: number | null): void {
    this.find(`${what} is left out: ${why}`, line);
  }

  /** Several of the file have no place here, for one reason: one line for all, at the first of them. */
  leaveOutAll(parts: readonly { readonly what: string; readonly line: number }[], why: string): void {
    const [first] = parts.toSorted((a, b) => a.line - b.line);
    if (first === undefined) return;
    const names = [...new Set(parts.map(({ what }) => what))];
    const verb = names.length === 1 ? 'is' : 'are';
    this.find(`${names.join(', ')} ${verb} left out: ${why}`, first.line);
  }

  where(line: number): string {
    return `${this.#fileName} line ${line}`;
  }
}
