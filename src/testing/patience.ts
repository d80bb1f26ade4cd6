/** How much longer than elsewhere tests wait on this machine: TEST_PATIENCE, at least 1, for emulated processors. */
export const PATIENCE = Math.max(1, Number(process.env['TEST_PATIENCE']) || 1);
