import { useEffect, useRef, useState } from "preact/hooks";
import { write } from "../api/client";
import { setDraft } from "../editor/draft";
import { Diff, diffOf } from "../editor/Diff";
import { useEditor } from "../editor/useEditor";
import { Frame } from "../parts/Frame";
import { Head } from "../parts/Head";
import { calm } from "../shell/theme";
import { complain, say } from "../shell/toast";
import { isSmall, useModelFor } from "../shell/models";
import { textOf } from "../trace/record";
import { markup } from "./markup";
import { Microphone } from "./Microphone";
import { draw, FRESH, pageIn, question, STYLE, WISHES } from "./page";

const BEAT = 160;

export function VoiceView() {
  const model = useModelFor("small-text");
  const host = useRef<HTMLDivElement>(null);
  const [wish, setWish] = useState("");
  const [busy, setBusy] = useState(false);
  const [diff, setDiff] = useState<string | null>(null);
  const stopper = useRef<AbortController | null>(null);
  const seed = useRef(0);
  useEffect(() => () => stopper.current?.abort(), []);
  const nothing = () => undefined;
  const acts = { run: () => void apply(wish), accept: nothing, reject: () => stopper.current?.abort() };
  const options = { key: "voice", model: model?.id ?? "", fresh: FRESH, language: markup(), label: "The page's HTML" };
  const editing = useEditor(host, options, acts);

  /** The page settles over the old one, and takes its place when it is whole. */
  const apply = async (words: string) => {
    const { view, file } = editing;
    if (!view || !file || !model || !words.trim() || busy) return;
    const { signal } = (stopper.current = new AbortController());
    const before = view.state.doc.toString();
    setBusy(true);
    let answer = "";
    try {
      const asked = { model: model.id, seed: ++seed.current, messages: [{ role: "user" as const, content: question(model, before, words) }] };
      for await (const chunk of write(asked, signal)) {
        const shown = answer + (chunk.draft?.text ?? "");
        answer += textOf(chunk);
        if (!chunk.draft) continue;
        view.dispatch({ effects: setDraft.of({ from: 0, to: before.length, text: shown, settled: false }) });
        if (!calm()) await new Promise((wake) => setTimeout(wake, BEAT));
      }
      const after = pageIn(answer);
      view.dispatch({ effects: setDraft.of(null) });
      setDiff(diffOf(before.trimEnd(), 0, before.trimEnd().length, after.trimEnd()));
      if (after === before) say("The model left the page as it was.");
      editing.show(after);
      await file.put(after);
      setWish("");
    } catch (error) {
      view.dispatch({ effects: setDraft.of(null) });
      complain(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Head title="Voice coding">Say what is to become of the page. It is changed in place, and all else stays as it was.</Head>
      <div class="stack">
        <section class="card stack" aria-label="Wish">
          <form class="say" onSubmit={(event) => (event.preventDefault(), void apply(wish))}>
            <Microphone onWords={setWish} onDone={(words) => void apply(words)} disabled={busy} />
            <input
              type="text"
              aria-label="Wish"
              value={wish}
              placeholder="I did fix the bike"
              onInput={(event) => setWish(event.currentTarget.value)}
            />
            <button type="submit" class="button main" disabled={busy || !wish.trim()}>
              Apply
            </button>
          </form>
          {isSmall(model) && (
            <div class="row chips" role="group" aria-label="Wishes that this model knows">
              {WISHES.map((one) => (
                <button type="button" class="chip" onClick={() => setWish(one)}>
                  {one}
                </button>
              ))}
            </div>
          )}
        </section>
        <div class="voice">
          <section class="card stack" aria-label="File">
            <div class="row spread">
              <h2>todo.html</h2>
              <div class="row">
                <button type="button" class="button" disabled={!editing.file?.edits || busy} onClick={editing.undo}>
                  Undo
                </button>
                <button type="button" class="button" disabled={!editing.file?.undone || busy} onClick={editing.redo}>
                  Redo
                </button>
              </div>
            </div>
            <div class="code" ref={host} />
            {diff !== null && <Diff text={diff} />}
          </section>
          <section class="card stack" aria-label="Preview">
            <h2>Preview</h2>
            <div class="preview">
              <Frame title="Preview of the page" style={STYLE} draw={(page) => draw(page, editing.text)} of={[editing.text]} />
            </div>
          </section>
        </div>
      </div>
    </>
  );
}
