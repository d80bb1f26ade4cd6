/** What an importer makes of a text, in a form that is easy to compare. */
import type { ConfigFile } from '../config/file.ts';
import type { Imported } from '../import/imported.ts';

export type ReadImport = {
  /** By the path of the field, without their origin. */
  readonly values: Record<string, unknown>;
  /** `FILE line 3: what was left out`. */
  readonly findings: readonly string[];
};

/** Runs the importer on a text, as of a file of this name. */
export function readBy(importer: (file: ConfigFile) => Imported, name: string): (text: string) => ReadImport {
  return (text) => {
    const { values, findings } = importer({ name, text });
    return {
      values: Object.fromEntries([...values].map(([path, { value }]) => [path, value])),
      findings: findings.map((finding) => `${finding.where}: ${finding.text}`),
    };
  };
}
