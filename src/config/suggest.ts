/** "Did you mean": the known name closest to a mistyped one. Pure. */

/** Case and separators are what people get wrong most, so they do not count as differences. */
function fold(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]/g, '');
}

/** Edit distance in which a swap of neighbors counts as one edit (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1];
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      current[column] = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + (same ? 0 : 1),
        swapped ? (beforePrevious[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}

/** True for a candidate that is the name with something before it: `vrrp-vrid` for `vrid`. */
function endsWithName(candidate: string, name: string): boolean {
  const end = candidate.length - name.length;
  return end > 0 && '-_.'.includes(candidate[end - 1] ?? '') && fold(candidate.slice(end)) === fold(name);
}

/**
 * The candidate closest to `name`: within one edit for each three letters and at most three, else one that ends in the
 * name; null when there is none.
 */
export function closestName(name: string, candidates: readonly string[]): string | null {
  const folded = fold(name.slice(0, 100));
  const limit = Math.min(3, Math.max(1, Math.floor(folded.length / 3)));
  let best: string | null = null;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    const distance = editDistance(folded, fold(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best ?? candidates.find((candidate) => endsWithName(candidate, name)) ?? null;
}
