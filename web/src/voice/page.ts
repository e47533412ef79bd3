// The to-do page: the prompt that changes it, and its preview.

import DOMPurify from "dompurify";
import type { ModelInfo } from "../api/types";
import { knows } from "../shell/models";
import { inLines, oneLine } from "./layout";

export const FIRST_PAGE = `<body class="green">
  <h1>Weekend</h1>
  <ul>
    <li>[ ] buy bread</li>
    <li>[x] call mum</li>
    <li>[ ] fix the bike</li>
  </ul>
</body>
`;

/** Return the prompt for a model: small models know `edit PAGE`, and an instruction behind it. */
export function promptFor(model: ModelInfo, page: string, instruction: string): string {
  if (knows(model, "edits")) return `edit ${oneLine(page)}\n${instruction.trim()}`;
  const task =
    "Here is an HTML page. Change it as asked, leave everything else as it is, and answer with " +
    "the page alone.";
  return `${task}\n\n${page}\n\nChange: ${instruction}`;
}

/** Return the page in an answer. Chat models put it into a code block. */
export function pageIn(model: ModelInfo, answer: string): string {
  const block = /```(?:html)?\n([\s\S]*?)```/.exec(answer);
  return `${laidOut(model, (block?.[1] ?? answer).trim())}\n`;
}

/** Return what a model wrote in lines; a general model has its own, which are kept. */
export const laidOut = (model: ModelInfo, text: string): string =>
  knows(model, "edits") ? inLines(text) : text;

const URL_ATTRIBUTES = ["href", "src", "srcset", "action", "formaction", "poster", "background"];

export const STYLE = `
body {
  margin: 0; min-height: 100vh; box-sizing: border-box; padding: 2rem 2.2rem;
  font: 1.05rem/1.6 ui-sans-serif, system-ui, sans-serif; color: #16211e; background: #f4f5f2;
}
h1 { margin: 0 0 1rem; font-size: 1.8rem; letter-spacing: -.02em }
ul { list-style: none; margin: 0; padding: 0; display: grid; gap: .5rem }
li {
  padding: .6rem .9rem; border-radius: 8px; background: rgb(255 255 255 / 88%); color: #16211e;
  box-shadow: 0 1px 2px rgb(0 0 0 / 10%);
}
li.done { text-decoration: line-through; color: #4c5a55 }
li::before {
  content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .7em;
  border: 2px solid #52605b; border-radius: 4px; vertical-align: -.12em; box-sizing: content-box;
}
li.done::before {
  content: "✓"; background: #52605b; color: #fff; font: 700 1em/.8 sans-serif; text-align: center;
}
.red { background: #f6cfca }
.blue { background: #cfe0f5 }
.green { background: #cfe9da }
.grey { background: #d8dcda }
.white { background: #fff }
.black { background: #1b2120 }
.black h1 { color: #fff }
`;

/** Draw a page that a model or a reader wrote. It must not run, load or lead to anything. */
export function draw(page: Document, source: string): void {
  const parsed = new DOMParser().parseFromString(source, "text/html");
  page.body.className = parsed.body.className;
  page.body.innerHTML = DOMPurify.sanitize(parsed.body.innerHTML, {
    USE_PROFILES: { html: true },
    FORBID_ATTR: URL_ATTRIBUTES,
  });
  for (const item of page.querySelectorAll("li")) drawCheckbox(item);
}

/** Show `[x]` at the start of an item as done, and remove the box from its text. */
function drawCheckbox(item: HTMLElement): void {
  const text = item.textContent;
  const box = /^\s*\[( |x)\]\s*/.exec(text);
  if (!box) return;
  if (box[1] === "x") item.classList.add("done");
  item.textContent = text.slice(box[0].length);
}
