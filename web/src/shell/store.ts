// What outlives a reload in this browser. Storage may be forbidden or full: the page then merely forgets.

export function remembered(key: string): string | null {
  try {
    return localStorage.getItem(`redraft.${key}`);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`redraft.${key}`);
    else localStorage.setItem(`redraft.${key}`, value);
  } catch {
    // Nothing depends on it.
  }
}
