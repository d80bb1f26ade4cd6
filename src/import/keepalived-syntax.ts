/** The form of keepalived.conf(5): keywords with words, and blocks between braces. Pure. */

export type Statement = {
  readonly keyword: string;
  readonly words: readonly string[];
  /** From 1. */
  readonly line: number;
  /** What stands between braces; null without. */
  readonly block: readonly Statement[] | null;
};

type Open = {
  readonly keyword: string;
  readonly words: string[];
  readonly line: number;
  block: Open[] | null;
};

/** A quoted text, a brace, the rest of a line from # or ! on, or a word. */
const TOKEN =
  /"(?<quoted>(?:[^"\\]|\\.)*)"|(?<brace>[{}])|(?<comment>[#!].*)|(?<plain>(?:\\[#!]|\$\{\w*\}|[^\s{}"#!])+)/g;

function* tokens(line: string): Generator<{ readonly text: string; readonly isBrace: boolean }> {
  for (const { groups = {} } of line.matchAll(TOKEN)) {
    if (groups['comment'] !== undefined) return;
    const { brace, quoted, plain } = groups;
    // Outside quotes a backslash keeps these from beginning a comment.
    const word = plain?.replaceAll(/\\([#!])/g, '$1');
    yield { text: brace ?? quoted ?? word ?? '', isBrace: brace !== undefined };
  }
}

/**
 * Reads what it can and never throws: a block that nothing closes ends with the file, and a brace that closes nothing
 * is passed over.
 */
export function readStatements(text: string): readonly Statement[] {
  const top: Open[] = [];
  const blocks: Open[][] = [top];
  let current: Open | null = null;
  const begin = (keyword: string, line: number): Open => {
    const statement = { keyword, words: [], line, block: null };
    blocks.at(-1)?.push(statement);
    return statement;
  };
  for (const [index, lineText] of text.split('\n').entries()) {
    const line = index + 1;
    let isFirst = true;
    for (const { text: word, isBrace } of tokens(lineText)) {
      // A statement ends with its line, but the brace of its block may stand on the next one.
      if (isFirst && !(isBrace && word === '{')) current = null;
      isFirst = false;
      if (!isBrace) {
        if (current === null) current = begin(word, line);
        else current.words.push(word);
        continue;
      }
      if (word === '{') {
        current ??= begin('', line);
        current.block = [];
        blocks.push(current.block);
      } else if (blocks.length > 1) blocks.pop();
      current = null;
    }
  }
  return top;
}
