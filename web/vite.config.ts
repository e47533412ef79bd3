import preact from "@preact/preset-vite";
import { defineConfig } from "vitest/config";
import { manifest } from "./manifest.ts";

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
      preserveEntrySignatures: "strict",
      output: {
        entryFileNames: ({ name }) => (name === "drafts" ? "drafts.js" : "assets/[name]-[hash].js"),
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
