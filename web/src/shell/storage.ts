// The browser's storage, which outlives a reload. Where it is forbidden or full, nothing is stored.

export function readStored(key: string): string | null {
  try {
    return localStorage.getItem(`redraft.${key}`);
  } catch {
    return null;
  }
}

/** Store a value; null removes it. */
export function store(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`redraft.${key}`);
    else localStorage.setItem(`redraft.${key}`, value);
  } catch {
    // The page works without.
  }
}
