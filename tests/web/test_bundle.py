"""The committed page is what web/ builds to.

`npm run build` records the hashes of all files it read and wrote in build.json, so that this is
checked everywhere; where the page's packages are installed, it is built again and compared.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from redraft.web import static_folder

WEB = Path(__file__).parent.parent.parent / "web"
COMMITTED = Path(__file__).parent.parent.parent / "src" / "redraft" / "web" / "static"
REMEDY = "run `make page` and commit src/redraft/web/static"


def hashes(folder: Path, paths: list[Path]) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def source_hashes(web: Path) -> dict[str, str]:
    """Return the hash of each file that a build reads."""
    names = ("index.html", "package-lock.json", "tsconfig.json", "vite.config.ts", "manifest.ts")
    single = [web / name for name in names]
    return hashes(web, [*single, *files(web / "public"), *files(web / "src")])


def built_hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each file that a build wrote, without its record."""
    return hashes(folder, [path for path in files(folder) if path.name != "build.json"])


def differing(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def recorded() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((COMMITTED / "build.json").read_text())
    return found


def test_the_sources_have_not_changed_since_the_page_was_built() -> None:
    changed = differing(recorded()["sources"], source_hashes(WEB))
    assert not changed, f"{REMEDY}: {changed} changed after the build"


def test_the_committed_files_are_those_that_the_build_wrote() -> None:
    changed = differing(recorded()["built"], built_hashes(COMMITTED))
    assert not changed, f"{REMEDY}: {changed} are not as the build wrote them"


def test_a_changed_a_missing_and_a_new_source_are_found(tmp_path: Path) -> None:
    """The two tests above can fail."""
    copy = tmp_path / "web"
    shutil.copytree(WEB, copy, ignore=shutil.ignore_patterns("node_modules"))
    assert source_hashes(copy) == recorded()["sources"]
    with (copy / "src" / "main.tsx").open("a") as file:
        file.write("\n")
    (copy / "public" / "icon.svg").unlink()
    (copy / "src" / "new.ts").write_text("")
    changed = differing(recorded()["sources"], source_hashes(copy))
    assert changed == ["public/icon.svg", "src/main.tsx", "src/new.ts"]


def test_the_server_hands_out_this_folder() -> None:
    assert built_hashes(static_folder()) == built_hashes(COMMITTED)


def test_the_helper_for_drafts_is_small_and_needs_nothing() -> None:
    helper = (COMMITTED / "drafts.js").read_text(encoding="utf-8")
    assert len(helper.encode()) <= 2048
    assert "import" not in helper
    assert all(f" as {name}" in helper for name in ("readDrafts", "tokensAfter", "StreamError"))
    (page,) = (COMMITTED / "assets").glob("index-*.js")
    assert "/drafts.js" in page.read_text(encoding="utf-8")


def test_the_first_view_comes_without_the_code_of_the_others() -> None:
    page = (COMMITTED / "index.html").read_text(encoding="utf-8")
    scripts = re.findall(r'"\./(assets/[^"]+\.js)"', page)
    size = sum((COMMITTED / one).stat().st_size for one in scripts)
    others = sum(one.stat().st_size for one in (COMMITTED / "assets").glob("*.js")) - size
    assert len(scripts) >= 2
    assert size < 100_000 < others


def test_the_lock_file_names_no_registry() -> None:
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert all("integrity" in package for name, package in packages.items() if name)


def is_installed(web: Path) -> bool:
    """Return True where node_modules has the packages of the lock file, in their versions."""
    installed = web / "node_modules" / ".package-lock.json"
    if not installed.is_file():
        return False
    found = json.loads(installed.read_text())["packages"]
    locked = json.loads((web / "package-lock.json").read_text())["packages"]
    return all(
        found.get(name, {"integrity": None})["integrity"] == package["integrity"]
        for name, package in locked.items()
        if name and not package.get("optional")
    )


@pytest.mark.skipif(not is_installed(WEB), reason="web/node_modules is missing: make page-check")
def test_the_committed_page_is_what_the_sources_build_to(tmp_path: Path) -> None:
    output = tmp_path / "built"
    vite = WEB / "node_modules" / ".bin" / "vite"
    command = [str(vite), "build", "--outDir", str(output), "--emptyOutDir"]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    changed = differing(built_hashes(output), built_hashes(COMMITTED))
    assert not changed, f"{REMEDY}: {changed} differ from a new build"
    assert json.loads((output / "build.json").read_text()) == recorded()
