/** The error of everything that asks the kernel for something. */

/** A refused or failed operation. The message is one sentence for people; `code` is what programs compare. */
export class NetError extends Error {
  override readonly name: string = 'NetError';
  /** The errno's name: 'EPERM', 'ENODEV', 'ENETDOWN', ... */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
