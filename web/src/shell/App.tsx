import { useEffect, useState } from "preact/hooks";
import { models as listed } from "../api/client";
import type { ModelInfo } from "../api/types";
import { CanvasView } from "../canvas/View";
import { EditorView } from "../editor/View";
import { SudokuView } from "../sudoku/View";
import { VoiceView } from "../voice/View";
import { WikiView } from "../wiki/View";
import { Help } from "./Help";
import { Key } from "./Key";
import { Models } from "./models";
import { hashOf, useRoute, type Route } from "./router";
import { useTheme, type Theme } from "./theme";
import { complain, Toasts } from "./toast";

const VIEWS: { id: string; name: string; view: (route: Route) => preact.JSX.Element }[] = [
  { id: "canvas", name: "Canvas", view: () => <CanvasView /> },
  { id: "editor", name: "Editor", view: () => <EditorView /> },
  { id: "sudoku", name: "Sudoku", view: () => <SudokuView /> },
  { id: "wiki", name: "Wiki", view: (route) => <WikiView wanted={route.rest[0] ?? ""} /> },
  { id: "voice", name: "Voice coding", view: () => <VoiceView /> },
];

/** Whether a key belongs to what is being written in. */
function writing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

export function App() {
  const route = useRoute();
  const { all, lost, load } = useAll();
  const [help, setHelp] = useState(false);
  const [theme, toggleTheme] = useTheme();
  useShortcuts(() => setHelp(true), toggleTheme);
  const shown = VIEWS.find((view) => view.id === route.view) ?? VIEWS[0]!;
  useEffect(() => {
    document.title = `${shown.name} · redraft`;
    // On a narrow screen the tabs scroll.
    document
      .querySelector(".tabs [aria-current]")
      ?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [shown]);
  return (
    <div class="shell">
      <Top shown={shown.id} theme={theme} onTheme={toggleTheme} onHelp={() => setHelp(true)} />
      <main>
        {all && <Models.Provider value={all}>{shown.view(route)}</Models.Provider>}
        {lost && (
          <button type="button" class="button" onClick={load}>
            Ask the server again
          </button>
        )}
      </main>
      {help && <Help onClose={() => setHelp(false)} />}
      <Key />
      <Toasts />
    </div>
  );
}

/** The models that the server has, once it has told. */
function useAll() {
  const [all, setAll] = useState<ModelInfo[] | null>(null);
  const [lost, setLost] = useState(false);
  const load = () => {
    setLost(false);
    listed().then(setAll, (error: unknown) => (setLost(true), complain(error)));
  };
  useEffect(load, []);
  return { all, lost, load };
}

function useShortcuts(onHelp: () => void, onTheme: () => void): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || writing(event.target)) return;
      const view = VIEWS[Number(event.key) - 1];
      if (view && !(event.target as HTMLElement).closest?.("[data-digits]"))
        location.hash = hashOf(view.id);
      else if (event.key === "?") onHelp();
      else if (event.key === "t") onTheme();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
}

function Top(props: { shown: string; theme: Theme; onTheme: () => void; onHelp: () => void }) {
  return (
    <header class="top">
      <a class="brand" href={hashOf("canvas")}>
        <Mark />
        redraft
      </a>
      <nav class="tabs" aria-label="Views">
        {VIEWS.map((view) => (
          <a href={hashOf(view.id)} aria-current={view.id === props.shown ? "page" : undefined}>
            {view.name}
          </a>
        ))}
      </nav>
      <div class="row">
        <button type="button" class="icon" onClick={props.onTheme}>
          {props.theme === "dark" ? "Light" : "Dark"}
          <span class="hidden"> theme</span>
        </button>
        <button type="button" class="icon" onClick={props.onHelp} aria-label="Keyboard shortcuts">
          ?
        </button>
      </div>
    </header>
  );
}

/** A canvas that has settled for the most part. */
function Mark() {
  const strength = [0.25, 0.9, 0.45, 1, 0.55, 1, 1, 1, 1];
  return (
    <svg viewBox="0 0 18 18" aria-hidden="true" fill="currentColor">
      {strength.map((opacity, at) => (
        <rect
          x={(at % 3) * 6 + 0.5}
          y={Math.floor(at / 3) * 6 + 0.5}
          width="5"
          height="5"
          rx="1.2"
          opacity={opacity}
        />
      ))}
    </svg>
  );
}
