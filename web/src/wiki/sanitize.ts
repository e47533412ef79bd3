// A model's text as HTML: sanitized, and drawn into a frame that runs no scripts.

import DOMPurify from "dompurify";

const TAGS = [
  ...["h1", "h2", "h3", "p", "ul", "ol", "li", "blockquote", "pre", "br"],
  ...["a", "em", "strong", "b", "i", "code"],
];

export const STYLE = `
:root { color-scheme: light dark }
body {
  margin: 0; padding: 1.6rem 1.8rem; max-width: 62ch; overflow-wrap: anywhere; color: var(--ink);
  font: 1.06rem/1.7 ui-serif, Georgia, Cambria, "Times New Roman", serif;
}
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .7rem }
a { color: var(--accent); text-underline-offset: 3px; cursor: pointer }
a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
p { margin: 0 0 1em }
`;

/**
 * Return HTML with a few tags and no attributes: a link keeps its text, and has no URL. A text
 * without tags becomes paragraphs; [[words]] become a link.
 */
export function sanitize(text: string): string {
  const html = /<\w+>/.test(text) ? text : paragraphs(text);
  const linked = html.replace(/\[\[([^\][<>]{1,80})\]\]/g, "<a>$1</a>");
  return DOMPurify.sanitize(linked, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: [],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
  });
}

const paragraphs = (text: string): string =>
  text
    .split(/\n{2,}/)
    .map((part) => `<p>${part}</p>`)
    .join("");

/** Draw sanitized HTML in the colours of the page around the frame. */
export function draw(page: Document, html: string, theme: string): void {
  const outside = getComputedStyle(document.documentElement);
  const { style } = page.documentElement;
  for (const name of ["--ink", "--accent"]) {
    style.setProperty(name, outside.getPropertyValue(name));
  }
  // A frame with another colour scheme than the page around it gets an opaque background.
  style.colorScheme = theme;
  if (page.body.dataset.shown === html) return;
  page.body.dataset.shown = html;
  page.body.innerHTML = html;
  for (const link of page.querySelectorAll("a")) {
    // A link without a URL cannot be reached by the keyboard otherwise.
    link.setAttribute("role", "link");
    link.tabIndex = 0;
  }
}
