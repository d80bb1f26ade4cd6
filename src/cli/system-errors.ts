/** What the operating system's error codes mean, in words. */
import { errorText } from '../log/error-text.ts';

const FILE_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is no directory',
};

/** The system's code of an error (`ECONNREFUSED`), or the empty text. */
export function errorCode(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}

/** Why a file could not be read, as the end of a sentence. */
export function describeFileError(error: unknown): string {
  return FILE_ERRORS[errorCode(error)] ?? errorText(error);
}
