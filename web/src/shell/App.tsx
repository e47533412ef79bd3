import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { listModels } from "../api/client";
import type { ModelInfo } from "../api/types";
import { CanvasView } from "../canvas/CanvasView";
import { Player } from "../trace/player";
import { Help } from "./Help";
import { KeyPrompt } from "./KeyPrompt";
import { lazily } from "./lazy";
import { canDo, Models } from "./models";
import { hashOf, useRoute, type Route } from "./router";
import { useTheme, type Theme } from "./theme";
import { forgetErrors, showError, Toasts } from "./toast";

interface View {
  id: string;
  name: string;
  /** The task that a model must be able to do; none for a view of every model. */
  task?: string;
  draw: (route: Route, player: Player) => preact.JSX.Element;
}

// The first view comes with the page, the others when somebody could want them: an editor and a
// sanitizer are four fifths of all code.
const EditorView = lazily(() => import("../editor/EditorView").then((m) => m.EditorView));
const SudokuView = lazily(() => import("../sudoku/SudokuView").then((m) => m.SudokuView));
const VoiceView = lazily(() => import("../voice/VoiceView").then((m) => m.VoiceView));
const WikiView = lazily(() => import("../wiki/WikiView").then((m) => m.WikiView));
const LAZY = [EditorView, SudokuView, VoiceView, WikiView];
const IDLE_MILLISECONDS = 1500;

const CANVAS: View = {
  id: "canvas",
  name: "Canvas",
  draw: (_route, player) => <CanvasView player={player} />,
};

const VIEWS: View[] = [
  CANVAS,
  { id: "editor", name: "Editor", task: "infill", draw: () => <EditorView /> },
  { id: "sudoku", name: "Sudoku", task: "sudoku", draw: () => <SudokuView /> },
  {
    id: "wiki",
    name: "Wiki",
    task: "wiki",
    draw: (route) => <WikiView title={route.rest[0] ?? ""} />,
  },
  { id: "voice", name: "Voice coding", task: "edits", draw: () => <VoiceView /> },
];

/** Return the views that some model of the server can do. */
const viewsOf = (models: ModelInfo[] | null): View[] =>
  VIEWS.filter((view) => !models || !view.task || canDo(models, view.task));

/** Scroll the tabs to one of them. `scrollIntoView` would make the Tab key begin there. */
function show(tab: Element): void {
  const tabs = tab.closest(".tabs");
  if (!tabs) return;
  const [one, all] = [tab.getBoundingClientRect(), tabs.getBoundingClientRect()];
  tabs.scrollLeft += Math.min(0, one.left - all.left) + Math.max(0, one.right - all.right);
}

export function App() {
  const route = useRoute();
  const { models, failed, load } = useModelList();
  const [player] = useState(() => new Player());
  const [help, setHelp] = useState(false);
  const [theme, toggleTheme] = useTheme();
  const views = viewsOf(models);
  useLoadedLater(models !== null);
  useShortcuts(views, () => setHelp(true), toggleTheme);
  const view = VIEWS.find((one) => one.id === route.view) ?? CANVAS;
  useEffect(() => {
    document.title = `${view.name} · redraft`;
    forgetErrors();
    // On a narrow screen the tabs scroll.
    const tab = document.querySelector(".tabs [aria-current]");
    if (tab) show(tab);
  }, [view]);
  return (
    <div class="shell">
      <SkipLink />
      <TopBar
        views={views}
        view={view}
        theme={theme}
        onTheme={toggleTheme}
        onHelp={() => setHelp(true)}
      />
      <main id="content" tabIndex={-1}>
        {models && <Models.Provider value={models}>{view.draw(route, player)}</Models.Provider>}
        {failed && (
          <button type="button" class="button" onClick={load}>
            Try again
          </button>
        )}
      </main>
      {help && <Help onClose={() => setHelp(false)} />}
      <KeyPrompt />
      <Toasts />
    </div>
  );
}

/** The first stop of the Tab key: it leads past the views to the content. */
function SkipLink() {
  const skip = (event: Event) => {
    event.preventDefault(); // the address names the view
    document.getElementById("content")?.focus();
  };
  return (
    <a class="skip" href="#content" onClick={skip}>
      Skip to the content
    </a>
  );
}

/** The server's models; null until they are known. */
function useModelList() {
  const [models, setModels] = useState<ModelInfo[] | null>(null);
  const [failed, setFailed] = useState(false);
  const load = () => {
    setFailed(false);
    listModels().then(setModels, (error: unknown) => {
      setFailed(true);
      showError(error);
    });
  };
  useEffect(load, []);
  return { models, failed, load };
}

/** Load the code of all views once the first one has been drawn, so that none is waited for. */
function useLoadedLater(drawn: boolean): void {
  useEffect(() => {
    if (!drawn) return;
    // A failure is told when the view is opened.
    const loadAll = () => {
      for (const view of LAZY) view.load().catch(() => undefined);
    };
    const timer = setTimeout(loadAll, IDLE_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [drawn]);
}

/** Return true where a key is input for the element that has the focus. */
function takesInput(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

function useShortcuts(views: View[], onHelp: () => void, onTheme: () => void): void {
  // At once: a key must not mean a view of before.
  useLayoutEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || takesInput(event.target)) return;
      const view = views[Number(event.key) - 1];
      const inBoard = event.target instanceof Element && event.target.closest("[data-digits]");
      if (view && !inBoard) location.hash = hashOf(view.id);
      else if (event.key === "?") onHelp();
      else if (event.key === "t") onTheme();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });
}

interface TopBarProps {
  views: View[];
  view: View;
  theme: Theme;
  onTheme: () => void;
  onHelp: () => void;
}

function TopBar(props: TopBarProps) {
  return (
    <header class="top">
      <a class="brand" href={hashOf("canvas")}>
        <Logo />
        redraft
      </a>
      <nav class="tabs" aria-label="Views">
        {props.views.map((view) => (
          <a href={hashOf(view.id)} aria-current={view === props.view ? "page" : undefined}>
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

/** A canvas of nine cells, most of them settled. */
function Logo() {
  const confidence = [0.25, 0.9, 0.45, 1, 0.55, 1, 1, 1, 1];
  return (
    <svg viewBox="0 0 18 18" aria-hidden="true" fill="currentColor">
      {confidence.map((opacity, at) => (
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
