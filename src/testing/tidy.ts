/** What is untidy in documents and comments, as sentences that begin with the place. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';

import { filesBelow, ROOT, type Source } from './sources.ts';

/** The longest line, in characters. */
const MAX_COLUMNS = 120;
const FOLDERS = ['.ci', 'docs', 'e2e', 'images', 'manifests', 'src'];
/** American spelling, as that of the kernel, Kubernetes and Node: by the beginning of the British word. */
const BRITISH: Readonly<Record<string, string>> = {
  neighbour: 'neighbor',
  behaviour: 'behavior',
  colour: 'color',
  favour: 'favor',
  honour: 'honor',
  licence: 'license',
  defence: 'defense',
  centre: 'center',
  judgement: 'judgment',
  labelled: 'labeled',
  signalled: 'signaled',
  cancelled: 'canceled',
  cancelling: 'canceling',
  recognis: 'recogniz',
  normalis: 'normaliz',
  summaris: 'summariz',
  initialis: 'initializ',
  serialis: 'serializ',
  optimis: 'optimiz',
  minimis: 'minimiz',
  synchronis: 'synchroniz',
  towards: 'toward',
};
/** A file by its name or by a path; of other endings, and of scripts, only what lies in a folder of this repository. */
const REFERENCE = new RegExp(
  String.raw`(?<![\w@/.$<-])(?:\.\.?/)*((?:[\w.*{},-]+/)*[\w*{][\w.*{},-]*\.(?:ts|md|py|svg)|` +
    String.raw`(?:${FOLDERS.map((folder) => folder.replace('.', '\\.')).join('|')})/[\w.*{},/-]+\.(?:sh|json|ya?ml))(?![\w/(-])`,
  'g',
);

/** A text that people read: a document whole, or one comment of a source. */
export type Prose = { readonly path: string; readonly line: number; readonly text: string };

/** Every file that a reference may name, as paths from the root. */
export function repositoryFiles(): string[] {
  const atRoot = readdirSync(ROOT, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
  return [...atRoot, ...filesBelow(FOLDERS, [''])];
}

/** All documents. */
export function readDocuments(): Prose[] {
  return repositoryFiles()
    .filter((path) => path.endsWith('.md'))
    .map((path) => ({ path, line: 1, text: readFileSync(join(ROOT, path), 'utf8') }));
}

/** The comments of the sources. */
export function commentsOf(sources: readonly Source[]): Prose[] {
  return sources.flatMap(({ path, comments }) => comments.map(({ line, text }) => ({ path, line, text })));
}

/** Files that are named and do not exist. */
export function deadReferences(prose: readonly Prose[], files: readonly string[]): string[] {
  return prose.flatMap(({ path, line, text }) =>
    [...text.matchAll(REFERENCE)].flatMap(({ 1: name = '', index }) => {
      const pattern = new RegExp(`(?:^|/)${globSource(name)}$`);
      return files.some((file) => pattern.test(file))
        ? []
        : [`${path}:${lineAt(text, index, line)} names ${name}, which does not exist`];
    }),
  );
}

/** Scripts of package.json that are named and do not exist. */
export function deadScripts(prose: readonly Prose[], scripts: ReadonlySet<string>): string[] {
  return prose.flatMap(({ path, line, text }) =>
    [...text.matchAll(/npm run (?:--silent )?([\w:]+)/g)].flatMap(({ 1: name = '', index }) =>
      scripts.has(name)
        ? []
        : [`${path}:${lineAt(text, index, line)} names npm run ${name}, which does not exist`],
    ),
  );
}

/** Full names of suites and tests (`suite test`) that no strings of a source make, in whatever its templates hold. */
export function deadScenarios(names: readonly string[], { path, text, literals }: Source): string[] {
  const patterns = literals
    .map(({ start, end }) => text.slice(start + 1, end - 1).replaceAll("\\'", "'"))
    .map((literal) =>
      literal
        .split(/\$\{[^}]*\}/)
        .map(escaped)
        .join('.+'),
    );
  const isName = (name: string): boolean =>
    patterns.some((one) => new RegExp(`^${one}$`).test(name)) ||
    patterns.some((suite) => {
      const rest = new RegExp(`^${suite} (.+)$`).exec(name)?.[1];
      return rest !== undefined && patterns.some((one) => new RegExp(`^${one}$`).test(rest));
    });
  return names.filter((name) => !isName(name)).map((name) => `${path} has no scenario of the name: ${name}`);
}

/** Links of documents to files or headings that do not exist. */
export function deadLinks(documents: readonly Prose[]): string[] {
  const headings = new Map(documents.map(({ path, text }) => [path, anchorsOf(text)]));
  return documents.flatMap(({ path, text }) =>
    [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(({ 1: link = '', index }) => {
      if (/^[a-z]+:/.test(link)) return [];
      const [name = '', anchor] = link.split('#');
      const target = name === '' ? path : normalize(join(dirname(path), decodeURIComponent(name)));
      const isThere =
        (headings.has(target) || existsSync(join(ROOT, target))) &&
        (anchor === undefined || headings.get(target)?.has(anchor) === true);
      return isThere ? [] : [`${path}:${lineAt(text, index, 1)} links to ${link}, which does not exist`];
    }),
  );
}

/** Lines of documents that are too long. Rows of tables cannot be wrapped, and commands are to be copied whole. */
export function longDocumentLines(documents: readonly Prose[]): string[] {
  return documents.flatMap(({ path, text }) =>
    withoutFences(text)
      .split('\n')
      .flatMap((line, index) => (line.startsWith('|') ? [] : tooLong(path, index + 1, line))),
  );
}

/** Lines of sources that are too long, without their literals: a message in one piece can be searched for. */
export function longSourceLines(sources: readonly Source[]): string[] {
  return sources.flatMap(({ path, text, literals }) => {
    const starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1), text.length + 1];
    return starts.slice(0, -1).flatMap((start, index) => {
      const end = (starts[index + 1] ?? 0) - 1;
      if (end - start <= MAX_COLUMNS) return [];
      const inLiterals = literals
        .map((literal) => Math.min(literal.end, end) - Math.max(literal.start, start))
        .filter((length) => length > 0);
      const ownLength = end - start - inLiterals.reduce((sum, length) => sum + length, 0);
      return inLiterals.length > 0 && ownLength <= MAX_COLUMNS
        ? []
        : tooLong(path, index + 1, text.slice(start, end));
    });
  });
}

/** Docstrings that another one follows: the first one belongs to nothing, unless it begins the file. */
export function doubleDocstrings(sources: readonly Source[]): string[] {
  return sources.flatMap(({ path, text, comments }) =>
    comments.flatMap((comment, index) => {
      const next = comments[index + 1];
      if (next === undefined || !comment.isDocstring || !next.isDocstring) return [];
      const between = text.slice(comment.end, next.start);
      const beginsFile = comment.line === 1 && between.includes('\n\n');
      return between.trim() !== '' || beginsFile
        ? []
        : [`${path}:${comment.line} has two docstrings in a row`];
    }),
  );
}

/**
 * Members that TypeScript alone keeps private. `allowed` has, as `path name`, those that a mutant of the simulator
 * replaces. Constructors are left out, as there is no other way for them.
 */
export function privateMembers(sources: readonly Source[], allowed: ReadonlySet<string>): string[] {
  const member = /^ *(?:private|protected) (?:(?:static|readonly|async|get|set) )*(?<name>\w+)/gmu;
  return sources.flatMap(({ path, text }) =>
    [...text.matchAll(member)]
      .map(({ groups }) => groups?.['name'] ?? '')
      .filter((name) => name !== 'constructor' && !allowed.has(`${path} ${name}`))
      .map((name) => `${path} keeps ${name} private in TypeScript alone: write #${name}`),
  );
}

/** British spelling. Names count, too: one spelling can be searched for. */
export function britishWords(files: readonly Prose[]): string[] {
  return files.flatMap(({ path, text }) =>
    Object.entries(BRITISH).flatMap(([british, american]) =>
      [...text.matchAll(new RegExp(british, 'gi'))].map(
        ({ index }) => `${path}:${lineAt(text, index, 1)} spells ${british}: here it is ${american}`,
      ),
    ),
  );
}

/** Everything that people write, but for this table of British words. */
export function readWritten(): Prose[] {
  const own = new Set(['tidy.ts', 'tidy.test.ts']);
  return repositoryFiles()
    .filter((path) => /\.(?:md|ts|sh|py|ya?ml)$|Dockerfile$/.test(path) && !own.has(basename(path)))
    .map((path) => ({ path, line: 1, text: readFileSync(join(ROOT, path), 'utf8') }));
}

function tooLong(path: string, line: number, text: string): string[] {
  const columns = text.trimEnd().length;
  return columns <= MAX_COLUMNS
    ? []
    : [`${path}:${line} has ${columns} columns, and ${MAX_COLUMNS} are the limit`];
}

function lineAt(text: string, index: number, firstLine: number): number {
  return firstLine + text.slice(0, index).split('\n').length - 1;
}

/** A name with `*` and `{a,b}`, as a regular expression. */
function globSource(name: string): string {
  return name
    .replaceAll('.', '\\.')
    .replaceAll('*', '[^/]*')
    .replaceAll(/\{([^}]*)\}/g, (_all, names: string) => `(?:${names.replaceAll(',', '|')})`);
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

/** Blanks that keep every offset. */
function blank(text: string): string {
  return text.replaceAll(/[^\n]/g, ' ');
}

function withoutFences(text: string): string {
  return text.replaceAll(/^( *)```.*?^\1```/gms, blank);
}

function withoutCode(text: string): string {
  return withoutFences(text).replaceAll(/`[^`]*`/g, blank);
}

/** The anchors that GitHub gives to the headings of a document. */
function anchorsOf(text: string): ReadonlySet<string> {
  const seen = new Map<string, number>();
  const anchors = [...withoutFences(text).matchAll(/^#+ (.*)$/gm)].map(({ 1: heading = '' }) => {
    const plain = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const anchor = plain.replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-');
    const times = seen.get(anchor) ?? 0;
    seen.set(anchor, times + 1);
    return times === 0 ? anchor : `${anchor}-${times}`;
  });
  return new Set(anchors);
}
