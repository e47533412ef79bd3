// The to-do page: what the model is asked to make of it, and how it looks.

import DOMPurify from "dompurify";
import type { ModelInfo } from "../api/types";
import { isSmall } from "../shell/models";

export const FRESH =
  '<body class="green"><h1>Weekend</h1><ul><li>[ ] buy bread</li><li>[x] call mum</li><li>[ ] fix the bike</li></ul></body>\n';

export const WISHES = [
  "I did fix the bike",
  "please add water the garden",
  "take call mum off the list",
  "make it blue",
  "call the page Home",
];

/** The models that ship know `edit PAGE` and a wish on a line of its own; any other is told so in words. */
export function question(model: ModelInfo, page: string, wish: string): string {
  const asked = `edit ${page.trim()}\n${wish.trim()}`;
  if (isSmall(model)) return asked;
  return `Here is an HTML page. Change it as asked, leave everything else as it is, and answer with the page alone.\n\n${page}\n\nChange: ${wish}`;
}

/** The page in an answer: models that chat put it between fences. */
export function pageIn(answer: string): string {
  const fenced = /```(?:html)?\n([\s\S]*?)```/.exec(answer);
  return `${(fenced?.[1] ?? answer).trim()}\n`;
}

const ADDRESSES = ["href", "src", "srcset", "action", "formaction", "poster", "background"];

export const STYLE = `
body{margin:0;min-height:100vh;box-sizing:border-box;padding:2rem 2.2rem;font:1.05rem/1.6 ui-sans-serif,system-ui,sans-serif;color:#16211e;background:#f4f5f2}
h1{margin:0 0 1rem;font-size:1.8rem;letter-spacing:-.02em}
ul{list-style:none;margin:0;padding:0;display:grid;gap:.5rem}
li{padding:.6rem .9rem;border-radius:8px;background:rgb(255 255 255/88%);color:#16211e;box-shadow:0 1px 2px rgb(0 0 0/10%)}
li.done{text-decoration:line-through;color:#4c5a55}
li::before{content:"";display:inline-block;width:.8em;height:.8em;margin-right:.7em;border:2px solid #52605b;border-radius:4px;vertical-align:-.08em}
li.done::before{background:#52605b}
.red{background:#f6cfca}.blue{background:#cfe0f5}.green{background:#cfe9da}.grey{background:#d8dcda}.white{background:#fff}.black{background:#1b2120}
.black h1{color:#fff}
`;

/** Shows a page that somebody, or some model, wrote: nothing of it may run, lead elsewhere or load anything. */
export function draw(page: Document, source: string): void {
  const parsed = new DOMParser().parseFromString(source, "text/html");
  page.body.className = parsed.body.className;
  page.body.innerHTML = DOMPurify.sanitize(parsed.body.innerHTML, {
    USE_PROFILES: { html: true },
    FORBID_ATTR: ADDRESSES,
  });
  for (const item of page.querySelectorAll("li")) {
    const box = /^\s*\[( |x)\]\s*/.exec(item.textContent ?? "");
    if (!box) continue;
    if (box[1] === "x") item.classList.add("done");
    item.textContent = item.textContent!.slice(box[0].length);
  }
}
