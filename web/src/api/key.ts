// The key of a server that asks for one: given once, kept until the tab is closed. Storage may be forbidden: it is then forgotten.

const NAME = "redraft.key";

let key = kept();
let asking: Promise<string | null> | null = null;
let ask: () => Promise<string | null> = () => Promise.resolve(null);

export const currentKey = (): string | null => key;

/** How the reader is asked; null is no answer. */
export function askWith(how: () => Promise<string | null>): void {
  ask = how;
}

/** Whether there is another key than the one that was refused. All that are refused at once ask once. */
export async function anotherKey(refused: string | null): Promise<boolean> {
  if (key === refused) {
    asking ??= ask().finally(() => (asking = null));
    const given = await asking;
    if (given !== null) keep(given);
  }
  return key !== null && key !== refused;
}

export function withKey(options: RequestInit): RequestInit {
  if (key === null) return options;
  const headers = new Headers(options.headers);
  headers.set("Authorization", `Bearer ${key}`);
  return { ...options, headers };
}

function keep(given: string): void {
  key = given;
  try {
    sessionStorage.setItem(NAME, given);
  } catch {
    // The page has it until it is left.
  }
}

function kept(): string | null {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return null;
  }
}
