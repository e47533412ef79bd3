import { useEffect, useState } from "preact/hooks";
import { ModelNote } from "../components/ModelNote";
import { SegmentedControl } from "../components/SegmentedControl";
import { Stats } from "../components/Stats";
import { ViewHeader } from "../components/ViewHeader";
import { knows, useModelFor } from "../shell/models";
import { hashOf } from "../shell/router";
import { PageFrame } from "./PageFrame";
import { SavedPages } from "./SavedPages";
import { splitTitle, styledTitle, STYLES, type Style } from "./title";
import { usePage } from "./usePage";

const SUGGESTIONS = ["Cordunia", "Yarbraby"];

/** `title` is the page's, or "" for none. */
export function WikiView({ title }: { title: string }) {
  const model = useModelFor("wiki");
  const small = knows(model, "wiki");
  const { name, style } = splitTitle(title);
  const page = usePage(model, title);
  const open = (next: string, nextStyle: Style = style) => {
    const trimmed = next.trim();
    if (!trimmed) return;
    location.hash = hashOf("wiki", small ? styledTitle(trimmed, nextStyle) : trimmed);
  };
  return (
    <>
      <ViewHeader title="Wiki">
        The model writes each page when you open it, and each link opens another page. All pages are
        saved.
      </ViewHeader>
      <ModelNote model={model} task="wiki" />
      <div class="wiki">
        <section class="card stack" aria-label="Page">
          <TitleForm name={name} onOpen={open} />
          <div class="row spread">
            {small ? (
              <SegmentedControl
                label="Style"
                value={style}
                options={STYLES}
                onChange={(next) => open(name, next)}
              />
            ) : (
              <span />
            )}
            <Buttons title={title} busy={page.busy} onRewrite={page.rewrite} />
          </div>
          <Suggestions onOpen={open} />
          <PageFrame
            text={page.text}
            empty={wordsFor(title, page)}
            busy={page.busy}
            title={title}
            onLink={open}
          />
          <Stats
            of={[
              ["steps", page.steps],
              ["page", page.busy ? "writing" : page.source],
            ]}
          />
        </section>
        <SavedPages model={model?.id ?? ""} title={title} version={page.version} />
      </div>
    </>
  );
}

/** Return what stands in the place of a page that has no text yet. */
function wordsFor(title: string, { busy, failed }: { busy: boolean; failed: boolean }): string {
  if (!title) return "Choose a page above, or write a title of your own.";
  if (failed) return "This page could not be written. “Write again” tries once more.";
  return busy ? "The first draft is being written." : "";
}

function TitleForm({ name, onOpen }: { name: string; onOpen: (title: string) => void }) {
  const [title, setTitle] = useState(name);
  useEffect(() => setTitle(name), [name]);
  const submit = (event: Event) => {
    event.preventDefault();
    onOpen(title);
  };
  return (
    <form class="ask" onSubmit={submit}>
      <label class="hidden" for="title">
        Title
      </label>
      <input
        id="title"
        type="text"
        value={title}
        placeholder="A title"
        onInput={(event) => setTitle(event.currentTarget.value)}
      />
      <button type="submit" class="button main" disabled={!title.trim()}>
        Open
      </button>
    </form>
  );
}

function Buttons(props: { title: string; busy: boolean; onRewrite: () => void }) {
  const none = props.title === "";
  return (
    <div class="row">
      <button type="button" class="button" disabled={none} onClick={() => history.back()}>
        Back
      </button>
      <button type="button" class="button" disabled={none || props.busy} onClick={props.onRewrite}>
        Write again
      </button>
    </div>
  );
}

function Suggestions({ onOpen }: { onOpen: (title: string) => void }) {
  return (
    <div class="row chips" role="group" aria-label="Suggested pages">
      {SUGGESTIONS.map((title) => (
        <button type="button" class="chip" onClick={() => onOpen(title)}>
          {title}
        </button>
      ))}
    </div>
  );
}
