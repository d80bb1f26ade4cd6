/** Reads a YAML configuration into values by path, each with the place it came from. Pure. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type YAMLMap,
} from 'yaml';

import { quoteValue, type ConfigProblem } from './problem.ts';
import { CONFIG_FIELDS, CONFIG_GROUPS } from './schema.ts';
import { closestName } from './suggest.ts';

/** A value that a file, flag or variable gives to a field. */
export type GivenValue = {
  readonly value: unknown;
  /** Where it was given; for an item of a list, where that item is. */
  readonly where: (itemIndex?: number) => string;
};

export type ConfigFile = {
  /** What messages call it. */
  readonly name: string;
  readonly text: string;
};

export type FileValues = {
  readonly values: ReadonlyMap<string, GivenValue>;
  readonly problems: readonly ConfigProblem[];
  /** False when the text is not a YAML mapping: nothing is known then about what it gives. */
  readonly readable: boolean;
};

type Reading = {
  readonly document: Document;
  readonly whereOf: (node: unknown) => string;
  readonly values: Map<string, GivenValue>;
  readonly problems: ConfigProblem[];
};

/** Names of the keys directly below a group, or of the top level for null. */
function keysOf(group: string | null): string[] {
  if (group !== null) {
    const prefix = `${group}.`;
    return CONFIG_FIELDS.filter(({ path }) => path.startsWith(prefix)).map(({ path }) =>
      path.slice(prefix.length),
    );
  }
  return [
    ...CONFIG_FIELDS.filter(({ path }) => !path.includes('.')).map(({ path }) => path),
    ...CONFIG_GROUPS,
  ];
}

function unknownKeyMessage(group: string | null, key: string): string {
  const here = keysOf(group);
  const near = closestName(key, here);
  if (near !== null) return `unknown key; did you mean ${group === null ? near : `${group}.${near}`}?`;
  // A right key in a wrong place: `vrid` at the top, `port` under `health`.
  const elsewhere = closestName(
    key,
    CONFIG_FIELDS.map(({ path }) => path),
  )?.split('.');
  if (elsewhere !== undefined) {
    const [name, parent = null] = elsewhere.toReversed();
    return `unknown key here; did you mean ${name} ${parent === null ? 'at the top' : `under ${parent}`}?`;
  }
  return `unknown key; ${group ?? 'the configuration'} has ${here.join(', ')}`;
}

/** Calls `onPair` for every pair of a mapping whose key is text; other keys are problems. */
function eachPair(
  reading: Reading,
  map: YAMLMap,
  onPair: (key: string, keyNode: unknown, valueNode: unknown) => void,
): void {
  for (const { key, value } of map.items) {
    if (isScalar(key) && typeof key.value === 'string') onPair(key.value, key, value);
    else {
      const shown = isScalar(key) ? quoteValue(key.value) : 'a key';
      reading.problems.push({
        path: shown,
        value: null,
        message: 'expected a key that is text',
        where: reading.whereOf(key),
      });
    }
  }
}

/** The plain value of a node of this document. Aliases are refused before, so it is a tree and cannot be endless. */
function plainValue(reading: Reading, node: unknown): unknown {
  return isMap(node) || isSeq(node) || isScalar(node) ? node.toJS(reading.document) : null;
}

function readPair(
  reading: Reading,
  group: string | null,
  [key, keyNode, valueNode]: [string, unknown, unknown],
): void {
  const path = group === null ? key : `${group}.${key}`;
  const value = plainValue(reading, valueNode);
  if (!CONFIG_FIELDS.some((field) => field.path === path) || !keysOf(group).includes(key)) {
    const message = unknownKeyMessage(group, key);
    reading.problems.push({ path, value: quoteValue(value), message, where: reading.whereOf(keyNode) });
    return;
  }
  const where = (itemIndex?: number): string => {
    const item = itemIndex !== undefined && isSeq(valueNode) ? valueNode.items[itemIndex] : undefined;
    return reading.whereOf(item ?? keyNode);
  };
  reading.values.set(path, { value, where });
}

function readTopLevel(reading: Reading, map: YAMLMap): void {
  eachPair(reading, map, (key, keyNode, valueNode) => {
    if (!CONFIG_GROUPS.includes(key)) {
      readPair(reading, null, [key, keyNode, valueNode]);
    } else if (isMap(valueNode)) {
      eachPair(reading, valueNode, (name, nameNode, inner) =>
        readPair(reading, key, [name, nameNode, inner]),
      );
    } else if (plainValue(reading, valueNode) !== null) {
      // `vrrp:` with nothing below it, as when all its keys are commented out, is fine.
      const message = `expected a mapping with ${keysOf(key).join(', ')}`;
      const value = quoteValue(plainValue(reading, valueNode));
      reading.problems.push({ path: key, value, message, where: reading.whereOf(keyNode) });
    }
  });
}

/** Everything that keeps the text from being one plain YAML tree. */
function findSyntaxProblems(document: Document, whereAt: (offset: number) => string): ConfigProblem[] {
  const problems = [...document.errors, ...document.warnings].map(({ code, message, pos }) => ({
    path: 'YAML',
    value: null,
    message: code === 'MULTIPLE_DOCS' ? 'expected one document' : message,
    where: whereAt(pos[0]),
  }));
  visit(document, {
    Alias(_key, node) {
      const message = 'aliases are not supported; write the value out';
      problems.push({ path: 'YAML', value: null, message, where: whereAt(node.range?.[0] ?? 0) });
    },
  });
  return problems;
}

/** Reads a YAML text, reporting every unknown key and every error of syntax. Never throws. */
export function readConfigFile(file: ConfigFile): FileValues {
  const lines = new LineCounter();
  const whereAt = (offset: number): string => `${file.name} line ${lines.linePos(offset).line}`;
  const document = parseDocument(file.text, { lineCounter: lines, prettyErrors: false, stringKeys: false });
  const syntaxProblems = findSyntaxProblems(document, whereAt);
  if (syntaxProblems.length > 0) return { values: new Map(), problems: syntaxProblems, readable: false };

  const reading: Reading = {
    document,
    whereOf: (node) =>
      whereAt(isScalar(node) || isSeq(node) || isMap(node) || isAlias(node) ? (node.range?.[0] ?? 0) : 0),
    values: new Map(),
    problems: [],
  };
  const root = document.contents;
  if (root === null || (isScalar(root) && root.value === null)) return { ...reading, readable: true };
  if (!isMap(root)) {
    const value = quoteValue(plainValue(reading, root));
    const problem = {
      path: 'YAML',
      value,
      message: 'expected a mapping of keys to values',
      where: file.name,
    };
    return { values: new Map(), problems: [problem], readable: false };
  }
  readTopLevel(reading, root);
  return { ...reading, readable: true };
}
