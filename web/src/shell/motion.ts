// Motion: drafts are shown one by one, unless the reader's system asks for less of it.

export const prefersReducedMotion = (): boolean =>
  matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Wait so that a draft can be seen; not at all where reduced motion is preferred. */
export async function pause(milliseconds: number): Promise<void> {
  if (prefersReducedMotion()) return;
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}
