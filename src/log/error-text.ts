/** An error's own words, for a sentence of the log or of an answer. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
