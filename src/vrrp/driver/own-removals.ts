/**
 * Tells the kernel's notifications of this router's own removals of the address from those of others'. They come on
 * another socket than the answer, and by then the router may have promoted itself and bound the address again.
 */
export class OwnRemovals {
  private expected = 0;

  /** Does what removes the address; it resolves to whether there was one to remove. */
  async during(remove: () => Promise<boolean>): Promise<void> {
    this.expected += 1;
    let hasRemoved = false;
    try {
      hasRemoved = await remove();
    } finally {
      // Nothing was removed, so there is nothing to notify of. Had it just expired, that was taken for this.
      if (!hasRemoved && this.expected > 0) this.expected -= 1;
    }
  }

  /** The kernel has notified of a removal. True: of the router's own. */
  take(): boolean {
    if (this.expected === 0) return false;
    this.expected -= 1;
    return true;
  }
}
