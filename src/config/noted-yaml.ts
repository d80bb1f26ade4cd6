/** YAML for people: values with the reasons for them as comments. Pure. */
import { Document, Scalar, YAMLMap, YAMLSeq, type Node } from 'yaml';

type Branch = { readonly [key: string]: Tree };

/** Undefined is left out, with its key. */
export type Tree = string | number | boolean | undefined | Noted | Ended | Quoted | readonly Tree[] | Branch;

class Noted {
  readonly note: string;
  readonly value: Tree;

  constructor(note: string, value: Tree) {
    this.note = note;
    this.value = value;
  }
}

class Ended {
  readonly tree: Branch;
  readonly lines: readonly string[];

  constructor(tree: Branch, lines: readonly string[]) {
    this.tree = tree;
    this.lines = lines;
  }
}

class Quoted {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** `value`, with `note` as a comment above its key, or above it in a list. */
export function noted(note: string, value: Tree): Noted {
  return new Noted(note, value);
}

/** `tree` with `lines` as comments below its last key, which become more keys when their `#` is taken away. */
export function ended(tree: Branch, lines: readonly string[]): Ended {
  return new Ended(tree, lines);
}

/**
 * A text between quotes. For everything that is not ours: kubelet and kubeadm read YAML 1.1, where `on`, `1_000`
 * and more are no texts.
 */
export function quoted(text: string): Quoted {
  return new Quoted(text);
}

const NOTE_MAX_CHARACTERS = 108;
const INDENT = 2;

function wrapWords(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line === undefined || line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines;
}

/** The text of a comment as `yaml` takes it: every line with the blank that follows its `#`. */
function commentOf(lines: readonly string[]): string {
  return lines.map((line) => ` ${line}`).join('\n');
}

function noteComment(note: string, depth: number): string {
  return commentOf(wrapWords(note, NOTE_MAX_CHARACTERS - depth * INDENT));
}

function toNode(tree: Exclude<Tree, Noted | undefined>, depth: number): Node {
  if (tree instanceof Quoted) {
    const scalar = new Scalar(tree.text);
    scalar.type = Scalar.QUOTE_SINGLE;
    return scalar;
  }
  if (tree instanceof Ended) {
    const map = toNode(tree.tree, depth);
    map.comment = commentOf(tree.lines);
    return map;
  }
  if (Array.isArray(tree)) {
    const list = new YAMLSeq();
    for (const item of tree as readonly Tree[]) addItem(list, item, depth);
    return list;
  }
  if (typeof tree !== 'object') return new Scalar(tree);
  const map = new YAMLMap();
  for (const [key, value] of Object.entries(tree)) addPair(map, key, value, depth);
  return map;
}

function addItem(list: YAMLSeq, item: Tree, depth: number): void {
  const value = item instanceof Noted ? item.value : item;
  if (value === undefined || value instanceof Noted) return;
  const node = toNode(value, depth + 1);
  if (item instanceof Noted) node.commentBefore = noteComment(item.note, depth);
  list.add(node);
}

function addPair(map: YAMLMap, name: string, item: Tree, depth: number): void {
  const value = item instanceof Noted ? item.value : item;
  if (value === undefined || value instanceof Noted) return;
  const key = new Scalar(name);
  if (item instanceof Noted) key.commentBefore = noteComment(item.note, depth);
  map.add({ key, value: toNode(value, depth + 1) });
}

/** A heading's line as comment lines; one that starts with a blank, such as a command, is never broken. */
function headingComment(line: string): string[] {
  const lines = line.startsWith(' ') ? [line] : wrapWords(line, NOTE_MAX_CHARACTERS);
  return lines.map((part) => (part === '' ? '#' : `# ${part}`));
}

/** One YAML document below a heading. */
export function renderYaml(heading: readonly string[], tree: Branch): string {
  const document = new Document(toNode(tree, 0), { compat: 'yaml-1.1' });
  const body = document.toString({ indent: INDENT, lineWidth: 0 });
  return [...heading.flatMap(headingComment), body].join('\n');
}
