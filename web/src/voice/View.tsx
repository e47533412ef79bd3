import { useRef, useState } from "preact/hooks";
import { Diff } from "../editor/Diff";
import { Undo } from "../editor/Undo";
import { useEditor, type Editing } from "../editor/useEditor";
import { Frame } from "../parts/Frame";
import { Head } from "../parts/Head";
import { isSmall, useModelFor } from "../shell/models";
import { markup } from "./markup";
import { Microphone } from "./Microphone";
import { draw, FRESH, STYLE, WISHES } from "./page";
import { useWish } from "./useWish";

export function VoiceView() {
  const model = useModelFor("small-text");
  const host = useRef<HTMLDivElement>(null);
  const [words, setWords] = useState("");
  const wish = useWish(model, () => editing);
  const apply = async (said: string) => {
    if (await wish.apply(said)) setWords("");
  };
  const acts = { run: () => void apply(words), accept: () => undefined, reject: wish.stop };
  const options = {
    key: "voice",
    model: model?.id ?? "",
    fresh: FRESH,
    language: markup(),
    label: "The page's HTML",
  };
  const editing: Editing = useEditor(host, options, acts);
  return (
    <>
      <Head title="Voice coding">
        Say what is to become of the page. It is changed in place, and all else stays as it was.
      </Head>
      <div class="stack">
        <Say
          words={words}
          onWords={setWords}
          onApply={(said) => void apply(said)}
          busy={wish.busy}
          known={isSmall(model)}
        />
        <div class="voice">
          <section class="card stack" aria-label="File">
            <div class="row spread">
              <h2>todo.html</h2>
              <Undo of={editing} busy={wish.busy} />
            </div>
            <div class="code" ref={host} />
            {wish.diff !== null && <Diff text={wish.diff} />}
          </section>
          <section class="card stack" aria-label="Preview">
            <h2>Preview</h2>
            <div class="preview">
              <Frame
                title="Preview of the page"
                style={STYLE}
                draw={(page) => draw(page, editing.text)}
                of={[editing.text]}
              />
            </div>
          </section>
        </div>
      </div>
    </>
  );
}

interface Saying {
  words: string;
  onWords: (words: string) => void;
  onApply: (words: string) => void;
  busy: boolean;
  known: boolean;
}

/** The wish, spoken or typed. */
function Say({ words, onWords, onApply, busy, known }: Saying) {
  return (
    <section class="card stack" aria-label="Wish">
      <form class="say" onSubmit={(event) => (event.preventDefault(), onApply(words))}>
        <Microphone onWords={onWords} onDone={onApply} disabled={busy} />
        <input
          type="text"
          aria-label="Wish"
          value={words}
          placeholder="I did fix the bike"
          onInput={(event) => onWords(event.currentTarget.value)}
        />
        <button type="submit" class="button main" disabled={busy || !words.trim()}>
          Apply
        </button>
      </form>
      {known && (
        <div class="row chips" role="group" aria-label="Wishes that this model knows">
          {WISHES.map((one) => (
            <button type="button" class="chip" onClick={() => onWords(one)}>
              {one}
            </button>
          ))}
        </div>
      )}
    </section>
  );
}
