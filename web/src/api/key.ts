// The API key: entered once, stored until the tab is closed. Where storage is forbidden, it is
// forgotten when the page is left.

const NAME = "redraft.key";

let key = storedKey();
let pending: Promise<string | null> | null = null;
let prompt: () => Promise<string | null> = () => Promise.resolve(null);

export const currentKey = (): string | null => key;

/** Set the function that asks the reader for a key. It resolves to null on a cancel. */
export function setKeyPrompt(ask: () => Promise<string | null>): void {
  prompt = ask;
}

/**
 * Return true where there is another key than `refused`, asking the reader for one if needed.
 * Requests that are refused at the same time ask once.
 */
export async function renewKey(refused: string | null): Promise<boolean> {
  if (key === refused) {
    pending ??= prompt().finally(() => (pending = null));
    const entered = await pending;
    if (entered !== null) storeKey(entered);
  }
  return key !== null && key !== refused;
}

export function withKey(options: RequestInit): RequestInit {
  if (key === null) return options;
  const headers = new Headers(options.headers);
  headers.set("Authorization", `Bearer ${key}`);
  return { ...options, headers };
}

function storeKey(entered: string): void {
  key = entered;
  try {
    sessionStorage.setItem(NAME, entered);
  } catch {
    // The variable above has it until the page is left.
  }
}

function storedKey(): string | null {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return null;
  }
}
