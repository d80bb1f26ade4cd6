/**
 * The TypeScript of this repository as the tests about its own shape read it: who imports whom, and what comments say.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

import { type Expression, parseSync, Visitor } from 'oxc-parser';

/** The root of the repository. */
export const ROOT = join(import.meta.dirname, '../..');

/**
 * One import, in any of its forms: import, export from, import(), a type's import(), or the path of a program to start.
 */
export type Import = {
  /** A file of this repository (`src/ip/address.ts`), a package (`zod`), or a module of Node (`node:fs`). */
  readonly target: string;
  /**
   * `type`: it names types alone, and is gone when the program runs. `start`: the file runs as a thread or a process.
   */
  readonly kind: 'code' | 'type' | 'start';
};

export type Comment = {
  readonly text: string;
  readonly isDocstring: boolean;
  /** From 1, of its first line. */
  readonly line: number;
  /** Offsets in the file's text. */
  readonly start: number;
  readonly end: number;
};

export type Source = {
  /** From the root of the repository. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
  readonly comments: readonly Comment[];
  /** Offsets of its strings, templates and regular expressions. */
  readonly literals: readonly { readonly start: number; readonly end: number }[];
  /** What it takes from the process it runs in, without an import: a clock, a timer, chance, the environment. */
  readonly ambient: readonly string[];
};

const AMBIENT_OBJECTS = new Set(['process', 'performance', 'console', 'crypto', 'globalThis']);
const AMBIENT_MEMBERS = new Set(['Date.now', 'Math.random']);
const AMBIENT_FUNCTIONS = new Set([
  ...['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'fetch'],
]);

/** Every file below `folders` whose name ends with one of `endings`, as paths from the root, sorted. */
export function filesBelow(folders: readonly string[], endings: readonly string[]): string[] {
  return folders
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
        .map((entry) => normalize(join(entry.parentPath, entry.name)).slice(ROOT.length + 1)),
    )
    .toSorted();
}

/** All TypeScript of the product, its tests and its labs. Throws when a file cannot be parsed. */
export function readSources(): Source[] {
  return filesBelow(['src', 'e2e'], ['.ts']).map((path) =>
    parseSource(path, readFileSync(join(ROOT, path), 'utf8')),
  );
}

/** One file. `path` is from the root of the repository. Throws when it cannot be parsed. */
export function parseSource(path: string, text: string): Source {
  const { program, module, comments, errors } = parseSync(path, text);
  const [error] = errors;
  if (error !== undefined) throw new Error(`${path} cannot be parsed: ${error.message}`);
  const imports: Import[] = [];
  const ambient: string[] = [];
  const literals: { start: number; end: number }[] = [];
  const add = (request: string, kind: Import['kind']): void => {
    const target = request.startsWith('.') ? normalize(join(dirname(path), request)) : packageOf(request);
    imports.push({ target, kind });
  };
  for (const { moduleRequest, entries } of module.staticImports) {
    const isType = entries.length > 0 && entries.every((entry) => entry.isType);
    add(moduleRequest.value, isType ? 'type' : 'code');
  }
  for (const { moduleRequest, isType } of module.staticExports.flatMap(({ entries }) => entries)) {
    if (moduleRequest !== null) add(moduleRequest.value, isType ? 'type' : 'code');
  }
  new Visitor({
    Literal(literal) {
      if (typeof literal.value === 'string' || 'regex' in literal)
        literals.push({ start: literal.start, end: literal.end });
    },
    TemplateLiteral: ({ start, end }) => literals.push({ start, end }),
    ImportExpression: ({ source }) => addLiteral(source, (request) => add(request, 'code')),
    TSImportType: ({ source }) => add(source.value, 'type'),
    NewExpression({ callee, arguments: given }) {
      if (callee.type !== 'Identifier') return;
      if (callee.name === 'Date' && given.length === 0) ambient.push('new Date()');
      if (callee.name === 'URL') addProgram(given, (request) => add(request, 'start'));
    },
    CallExpression({ callee, arguments: given }) {
      if (callee.type !== 'Identifier') return;
      if (AMBIENT_FUNCTIONS.has(callee.name)) ambient.push(callee.name);
      if (callee.name === 'join') addProgram(given, (request) => add(request, 'start'));
    },
    MemberExpression({ object, property }) {
      if (object.type !== 'Identifier') return;
      const member = `${object.name}.${property.type === 'Identifier' ? property.name : ''}`;
      if (AMBIENT_OBJECTS.has(object.name) || AMBIENT_MEMBERS.has(member)) ambient.push(member);
    },
  }).visit(program);
  return {
    path,
    text,
    imports,
    comments: comments.map((comment) => placed(text, comment)),
    literals,
    ambient,
  };
}

function addLiteral(expression: Expression, add: (request: string) => void): void {
  if (expression.type === 'Literal' && typeof expression.value === 'string') add(expression.value);
}

/** A path in `new URL(path, import.meta.url)` or `join(import.meta.dirname, path)`: a thread or a process to start. */
function addProgram(given: readonly { readonly type: string }[], add: (request: string) => void): void {
  for (const argument of given) {
    const value = 'value' in argument ? argument.value : null;
    if (typeof value === 'string' && value.endsWith('.ts')) add(value.startsWith('.') ? value : `./${value}`);
  }
}

/** `pino` of `pino/file`, `@types/node` of itself; a module of Node keeps its whole name. */
function packageOf(request: string): string {
  if (request.startsWith('node:')) return request;
  return request
    .split('/')
    .slice(0, request.startsWith('@') ? 2 : 1)
    .join('/');
}

function placed(text: string, comment: { value: string; type: string; start: number; end: number }): Comment {
  return {
    text: comment.value,
    isDocstring: comment.type === 'Block' && comment.value.startsWith('*'),
    line: text.slice(0, comment.start).split('\n').length,
    start: comment.start,
    end: comment.end,
  };
}
