// What a model writes is a stranger's text: it becomes HTML only through a sieve, and is shown where no script can run.

import DOMPurify from "dompurify";

const TAGS = [
  "h1",
  "h2",
  "h3",
  "p",
  "ul",
  "ol",
  "li",
  "a",
  "em",
  "strong",
  "b",
  "i",
  "code",
  "pre",
  "blockquote",
  "br",
];

export const STYLE = `
:root{color-scheme:light dark}
body{margin:0;padding:1.6rem 1.8rem;font:1.06rem/1.7 ui-serif,Georgia,Cambria,"Times New Roman",serif;color:var(--ink);max-width:62ch;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .7rem}
a{color:var(--accent);text-underline-offset:3px;cursor:pointer}
a:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
p{margin:0 0 1em}
`;

/** Text with a few tags in it, or none at all, as HTML without attributes. Links keep their words, and no address. */
export function clean(text: string): string {
  const paragraphs = /<\w+>/.test(text)
    ? text
    : text
        .split(/\n{2,}/)
        .map((part) => `<p>${part}</p>`)
        .join("");
  const linked = paragraphs.replace(/\[\[([^\][<>]{1,80})\]\]/g, "<a>$1</a>");
  return DOMPurify.sanitize(linked, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: [],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
  });
}

/** Draws on the frame, in the page's colours, and makes its links reachable. */
export function draw(page: Document, html: string): void {
  const here = getComputedStyle(document.documentElement);
  for (const name of ["--ink", "--accent"])
    page.documentElement.style.setProperty(name, here.getPropertyValue(name));
  // A frame of another scheme than the page around it is given an opaque ground.
  page.documentElement.style.colorScheme = document.documentElement.dataset.theme ?? "light";
  if (page.body.dataset.shown === html) return;
  page.body.dataset.shown = html;
  page.body.innerHTML = html;
  for (const link of page.querySelectorAll("a")) {
    link.setAttribute("role", "link");
    link.tabIndex = 0;
  }
}
