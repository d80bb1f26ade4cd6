/**
 * Imported before everything else: this process lives on every control-plane node and has little to do, so V8 should
 * prefer small to fast. Threads take the flags over when they are started.
 */
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--optimize-for-size');
/** MiB; the default of 16 lets garbage that is long dead count as memory in use. */
setFlagsFromString('--max-semi-space-size=1');
