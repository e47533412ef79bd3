import { useEffect, useState } from "preact/hooks";
import { Figures } from "../parts/Figures";
import { Head } from "../parts/Head";
import { Segments } from "../parts/Segments";
import { isSmall, useModelFor } from "../shell/models";
import { hashOf } from "../shell/router";
import { Leaf } from "./Leaf";
import { Shelf } from "./Shelf";
import { usePage } from "./usePage";

const STYLES = [
  ["short", "short"],
  ["full", "full"],
  ["story", "story"],
] as const;
type Style = (typeof STYLES)[number][0];

const SOME = ["Cordunia", "Yarbraby"];

/** "Cordunia (full)" is a name and a style; other models have names only. */
function parted(title: string): { name: string; style: Style } {
  const found = /^(.*) \((short|full|story)\)$/.exec(title);
  return found ? { name: found[1]!, style: found[2] as Style } : { name: title, style: "full" };
}

export function WikiView({ wanted }: { wanted: string }) {
  const model = useModelFor("small-text");
  const small = isSmall(model);
  const { name, style } = parted(wanted);
  const page = usePage(model, wanted);
  const go = (next: string, how: Style = style) => {
    const title = next.trim();
    if (title)
      location.hash = hashOf("wiki", small && !/\)$/.test(title) ? `${title} (${how})` : title);
  };
  return (
    <>
      <Head title="Wiki">
        Every page is written when it is asked for, and every link on it asks for the next. What was
        written is kept.
      </Head>
      <div class="wiki">
        <section class="card stack" aria-label="Page">
          <Title name={name} onOpen={go} />
          <div class="row spread">
            {small ? (
              <Segments
                label="Style"
                value={style}
                options={STYLES}
                onChange={(how) => go(name, how)}
              />
            ) : (
              <span />
            )}
            <Buttons canAgain={wanted !== "" && !page.busy} onAgain={page.again} />
          </div>
          {!wanted && <Begin onOpen={go} />}
          <Leaf text={page.text} busy={page.busy} title={wanted} onLink={go} />
          <Figures
            of={[
              ["passes", page.passes],
              ["page", page.busy ? "drafting" : page.from],
            ]}
          />
        </section>
        <Shelf model={model?.id ?? ""} now={wanted} stamp={page.stamp} />
      </div>
    </>
  );
}

function Title({ name, onOpen }: { name: string; onOpen: (title: string) => void }) {
  const [typed, setTyped] = useState(name);
  useEffect(() => setTyped(name), [name]);
  return (
    <form class="ask" onSubmit={(event) => (event.preventDefault(), onOpen(typed))}>
      <label class="hidden" for="title">
        Title
      </label>
      <input
        id="title"
        type="text"
        value={typed}
        placeholder="A title"
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
      <button type="submit" class="button main" disabled={!typed.trim()}>
        Open
      </button>
    </form>
  );
}

function Buttons({ canAgain, onAgain }: { canAgain: boolean; onAgain: () => void }) {
  return (
    <div class="row">
      <button type="button" class="button" onClick={() => history.back()}>
        Back
      </button>
      <button type="button" class="button" disabled={!canAgain} onClick={onAgain}>
        Write again
      </button>
    </div>
  );
}

function Begin({ onOpen }: { onOpen: (title: string) => void }) {
  return (
    <div class="row chips" role="group" aria-label="Pages to begin with">
      {SOME.map((title) => (
        <button type="button" class="chip" onClick={() => onOpen(title)}>
          {title}
        </button>
      ))}
    </div>
  );
}
