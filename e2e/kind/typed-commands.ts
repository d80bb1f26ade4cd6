/** The commands of a page under docs, as somebody who follows it types them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const DOCS = join(import.meta.dirname, '../../docs');

/** Which machines a block is for: each of them in turn. */
const PLACES = ['control-planes', 'first', 'others'] as const;
export type Place = (typeof PLACES)[number];
/** The one place of a page whose reader has a single machine. */
const HOST = ['host'] as const;

type Block<Name extends string> = {
  /** The heading that the block is under. */
  readonly heading: string;
  readonly place: Name;
  readonly script: string;
};

export type TypedCommands = Block<Place>;

const BLOCK_OR_HEADING = /^## (?<heading>.*)$|^```sh on=(?<place>\S+)\n(?<script>[\s\S]*?)^```$/gm;

function blocksOf<Name extends string>(page: string, places: readonly Name[]): Block<Name>[] {
  const blocks: Block<Name>[] = [];
  let heading = '';
  for (const { groups = {} } of readFileSync(join(DOCS, page), 'utf8').matchAll(BLOCK_OR_HEADING)) {
    heading = groups['heading'] ?? heading;
    const { place: name, script } = groups;
    if (script === undefined) continue;
    const place = places.find((known) => known === name);
    if (place === undefined) throw new Error(`docs/${page}: a block under "${heading}" is for "${name}"`);
    blocks.push({ heading, place, script });
  }
  return blocks;
}

/** The blocks marked `sh on=PLACE`, in their order. Throws for a place that there is not. */
export function typedCommands(page: string): TypedCommands[] {
  return blocksOf(page, PLACES);
}

/** The same of a page that is followed on the reader's own machine: all are marked `sh on=host`. */
export function typedOnHost(page: string): Block<'host'>[] {
  return blocksOf(page, HOST);
}
