import { useEffect, useRef, useState } from "preact/hooks";
import { pages } from "../api/client";
import type { ModelInfo } from "../api/types";
import { Figures } from "../parts/Figures";
import { Head } from "../parts/Head";
import { Segments } from "../parts/Segments";
import { isSmall, useModelFor } from "../shell/models";
import { hashOf } from "../shell/router";
import { complain } from "../shell/toast";
import { Leaf } from "./Leaf";
import { forget, keep, kept, remembered, written } from "./pages";

const STYLES = [["short", "short"], ["full", "full"], ["story", "story"]] as const;
type Style = (typeof STYLES)[number][0];

const SOME = ["Cordunia", "Yarbraby"];

/** "Cordunia (full)" is a name and a style; other models have names only. */
function parted(title: string): { name: string; style: Style } {
  const found = /^(.*) \((short|full|story)\)$/.exec(title);
  return found ? { name: found[1]!, style: found[2] as Style } : { name: title, style: "full" };
}

export function WikiView({ wanted }: { wanted: string }) {
  const model = useModelFor("small-text");
  const shipped = isSmall(model);
  const { name, style } = parted(wanted);
  const [typed, setTyped] = useState(name);
  useEffect(() => setTyped(name), [name]);
  const page = usePage(model, wanted);
  const go = (next: string, how: Style = style) => {
    if (next.trim()) location.hash = hashOf("wiki", shipped && !/\)$/.test(next) ? `${next.trim()} (${how})` : next.trim());
  };
  return (
    <>
      <Head title="Wiki">
        Every page is written when it is asked for, and every link on it asks for the next. What was written is kept.
      </Head>
      <div class="wiki">
        <section class="card stack" aria-label="Page">
          <form class="ask" onSubmit={(event) => (event.preventDefault(), go(typed))}>
            <label class="hidden" for="title">
              Title
            </label>
            <input id="title" type="text" value={typed} placeholder="A title" onInput={(event) => setTyped(event.currentTarget.value)} />
            <button type="submit" class="button main" disabled={!typed.trim()}>
              Open
            </button>
          </form>
          <div class="row spread">
            {shipped ? (
              <Segments label="Style" value={style} options={STYLES} onChange={(how) => name && go(name, how)} />
            ) : (
              <span />
            )}
            <div class="row">
              <button type="button" class="button" onClick={() => history.back()}>
                Back
              </button>
              <button type="button" class="button" disabled={!wanted || page.busy} onClick={page.again}>
                Write again
              </button>
            </div>
          </div>
          {!wanted && (
            <div class="row chips" role="group" aria-label="Pages to begin with">
              {SOME.map((title) => (
                <button type="button" class="chip" onClick={() => go(title, "full")}>
                  {title}
                </button>
              ))}
            </div>
          )}
          <Leaf text={page.text} busy={page.busy} title={wanted} onLink={(title) => go(title)} />
          <Figures of={[["passes", page.passes], ["page", page.busy ? "drafting" : page.from]]} />
        </section>
        <Shelf model={model?.id ?? ""} now={wanted} stamp={page.stamp} />
      </div>
    </>
  );
}

interface Shown {
  text: string;
  passes: number | null;
  from: "kept" | "written" | null;
}

const NONE: Shown = { text: "", passes: null, from: null };

/** The wanted page: at once where it is kept, otherwise draft by draft. */
function usePage(model: ModelInfo | undefined, title: string) {
  const [shown, setShown] = useState<Shown>(NONE);
  const [busy, setBusy] = useState(false);
  const [stamp, setStamp] = useState(0);
  const [turn, setTurn] = useState(0);
  const seed = useRef(1);
  useEffect(() => {
    const stopper = new AbortController();
    setShown(NONE);
    if (!model || !title) return;
    const known = remembered(model.id, title);
    if (known !== undefined) {
      setShown({ text: known, passes: null, from: "kept" });
      return;
    }
    const open = async () => {
      const before = await kept(model.id, title);
      if (stopper.signal.aborted) return;
      if (before !== null) return setShown({ text: before, passes: null, from: "kept" });
      setBusy(true);
      for await (const { text, passes, done } of written(model, title, seed.current, stopper.signal)) {
        if (stopper.signal.aborted) return;
        setShown({ text, passes, from: "written" });
        if (done) await keep(model.id, title, text);
      }
      setStamp((n) => n + 1);
    };
    open()
      .catch(complain)
      .finally(() => setBusy(false));
    return () => stopper.abort();
  }, [model?.id, title, turn]);
  const again = () => {
    seed.current++;
    if (model) forget(model.id, title).then(() => setTurn((n) => n + 1), complain);
  };
  return { ...shown, busy, stamp, again };
}

/** All pages that are kept, the newest first. */
function Shelf({ model, now, stamp }: { model: string; now: string; stamp: number }) {
  const [all, setAll] = useState<{ title: string; created: number }[]>([]);
  useEffect(() => {
    if (model) pages.all(model).then((found) => setAll(found.sort((a, b) => b.created - a.created)), complain);
  }, [model, stamp]);
  return (
    <nav class="card shelf" aria-label="Kept pages">
      <h2>Kept pages</h2>
      {all.length === 0 && <p class="small muted">None yet.</p>}
      <ul>
        {all.map(({ title }) => (
          <li>
            <a href={hashOf("wiki", title)} aria-current={title === now ? "page" : undefined}>
              {title}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}
