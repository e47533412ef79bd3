// Records from which sources the page was built, and what was built. tests/web compares both with
// the files, so that a change of the sources without a build is found also where there is no node.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, posix, resolve, sep } from "node:path";
import type { Plugin } from "vite";

/** All that a build reads. Packages are read as the lock file pins them. */
const SOURCES = [
  ...["index.html", "package-lock.json", "tsconfig.json", "vite.config.ts", "manifest.ts"],
  ...["public", "src"],
];
const MANIFEST = "build.json";

/** Return the SHA-256 of each file at a path, by its name relative to the root. */
function hashes(root: string, path: string): [string, string][] {
  const full = join(root, path);
  if (statSync(full).isFile()) {
    const digest = createHash("sha256").update(readFileSync(full)).digest("hex");
    return [[path.split(sep).join(posix.sep), digest]];
  }
  const names = readdirSync(full).sort();
  return names.flatMap((name) => hashes(root, join(path, name)));
}

export function manifest(): Plugin {
  let root = "";
  let output = "";
  return {
    name: "manifest",
    apply: "build",
    configResolved(config) {
      root = config.root;
      output = resolve(config.root, config.build.outDir);
    },
    closeBundle() {
      const built = readdirSync(output).sort();
      const content = {
        sources: Object.fromEntries(SOURCES.flatMap((path) => hashes(root, path))),
        built: Object.fromEntries(built.flatMap((path) => hashes(output, path))),
      };
      writeFileSync(join(output, MANIFEST), JSON.stringify(content, null, 2) + "\n");
    },
  };
}
