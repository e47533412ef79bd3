import preact from "@preact/preset-vite";
import { defineConfig } from "vitest/config";
import { manifest } from "./manifest.ts";

const SHARED =
  /node_modules.preact|src.(api|components|editor.Candidates|shell.(?!App|lazy)|trace)/;
const SERVER = "http://127.0.0.1:8000";

// The Python package serves the page: relative URLs, hashed names, nothing from other sites.
export default defineConfig({
  base: "./",
  plugins: [preact(), manifest()],
  build: {
    outDir: "../src/redraft/web/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    license: { fileName: "licenses.md" },
    rolldownOptions: {
      // The helper for drafts keeps its name and its exports, for other pages to import.
      input: { index: "index.html", drafts: "src/drafts.ts" },
      preserveEntrySignatures: "allow-extension",
      output: {
        entryFileNames: ({ name }) => (name === "drafts" ? "drafts.js" : "assets/[name]-[hash].js"),
        // What the first view needs beside its own code is one file, and no view's.
        codeSplitting: {
          includeDependenciesRecursively: false,
          groups: [{ name: "shared", test: SHARED }],
        },
      },
    },
  },
  server: { proxy: { "/v1": SERVER, "/play": SERVER } },
  test: {
    include: ["tests/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    unstubGlobals: true,
  },
});
