// Syntax colours for a small HTML page. CodeMirror's own HTML grammar would bring the grammars of
// scripts and styles with it.

import { StreamLanguage } from "@codemirror/language";

export const markup = () =>
  StreamLanguage.define<{ inTag: boolean }>({
    name: "markup",
    startState: () => ({ inTag: false }),
    token(stream, state) {
      if (stream.match("<!--")) {
        if (!stream.match(/^[\s\S]*?-->/)) stream.skipToEnd();
        return "comment";
      }
      if (stream.match(/^<\/?[\w-]+/)) {
        state.inTag = true;
        return "tagName";
      }
      if (!state.inTag) {
        stream.next();
        stream.eatWhile(/[^<]/);
        return null;
      }
      if (stream.match(/^"[^"]*"?/) || stream.match(/^'[^']*'?/)) return "string";
      if (stream.next() === ">") {
        state.inTag = false;
        return "tagName";
      }
      return null;
    },
  });
