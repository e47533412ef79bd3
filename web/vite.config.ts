import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

// The page is served by the Python package itself: relative addresses, hashed names, nothing from elsewhere.
export default defineConfig({
  base: "./",
  plugins: [preact()],
  build: {
    outDir: "../src/redraft/web/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    license: { fileName: "licenses.md" },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8000", "/play": "http://127.0.0.1:8000" } },
});
