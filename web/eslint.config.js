import eslint from "@eslint/js";
import reactHooks from "eslint-plugin-react-hooks";
import { defineConfig } from "eslint/config";
import globals from "globals";
import { readFileSync } from "node:fs";
import typescript from "typescript-eslint";

/** The typewriter is the demo's word for autoregressive decoding, and a field of a saved run. */
const ALLOWED_WORDS = ["typewriter"];

/** Return a restriction for each word and phrase on the glossary's "Not" lines. */
function glossaryRestrictions() {
  const glossary = readFileSync(new URL("../docs/glossary.md", import.meta.url), "utf8");
  const restrictions = [];
  for (const entry of glossary.split("\n### ").slice(1)) {
    const [term] = entry.split("\n");
    const not = /^Not: (.+)\.$/m.exec(entry)?.[1] ?? "";
    const message = `The glossary says ${term}.`;
    // A word with a folder behind it is refused in that folder of the Python source only.
    for (const [, word] of not.matchAll(/`(\w+)`(?! \(in)/g)) {
      if (ALLOWED_WORDS.includes(word)) continue;
      const capitalized = word[0].toUpperCase() + word.slice(1);
      const name = `(^${word}|${capitalized}|(^|_)${word.toUpperCase()}(_|$))(?![a-z])`;
      restrictions.push({ selector: `Identifier[name=/${name}/]`, message });
    }
    for (const [, phrase] of not.matchAll(/"(.+?)"/g)) {
      for (const node of ["Literal[value", "TemplateElement[value.raw", "JSXText[value"]) {
        restrictions.push({ selector: `${node}=/${phrase}/i]`, message });
      }
    }
  }
  if (restrictions.length === 0) throw new Error("docs/glossary.md has no Not lines");
  return restrictions;
}

export default defineConfig(
  eslint.configs.recommended,
  typescript.configs.strictTypeChecked,
  {
    languageOptions: {
      globals: globals.browser,
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    plugins: { "react-hooks": reactHooks },
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      // Prettier wraps code, but neither comments nor strings.
      "max-len": ["error", { code: 100, ignoreUrls: true, ignoreRegExpLiterals: true }],
      "no-restricted-syntax": ["error", ...glossaryRestrictions()],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "react-hooks/rules-of-hooks": "error",
      "react-hooks/exhaustive-deps": "error",
    },
  },
  {
    files: ["tests/**"],
    rules: {
      // A test that finds nothing where it looks has failed.
      "@typescript-eslint/no-non-null-assertion": "off",
    },
  },
  {
    files: ["**/*.js"],
    extends: [typescript.configs.disableTypeChecked],
    languageOptions: { globals: globals.node },
  },
);
