// Dark or light: the system's wish, until the reader says otherwise.

import { useEffect, useState } from "preact/hooks";
import { remember, remembered } from "./store";

export type Theme = "light" | "dark";

const dark = matchMedia("(prefers-color-scheme: dark)");

const wished = (): Theme => {
  const kept = remembered("theme");
  return kept === "light" || kept === "dark" ? kept : dark.matches ? "dark" : "light";
};

export function applyTheme(): void {
  document.documentElement.dataset.theme = wished();
}

export function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState(wished);
  useEffect(() => {
    const follow = () => setTheme(wished());
    dark.addEventListener("change", follow);
    return () => dark.removeEventListener("change", follow);
  }, []);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  const toggle = () => {
    const other = theme === "dark" ? "light" : "dark";
    remember("theme", other);
    setTheme(other);
  };
  return [theme, toggle];
}

export const calm = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;
