"""The README's Python runs as it stands, on a tiny checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_readmes_python_runs(checkpoint: Path, capsys) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(code.replace("path/to/checkpoint", str(checkpoint)), {})
    assert "settled:" in capsys.readouterr().out


def test_every_page_that_the_readme_names_exists() -> None:
    pages = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert len(pages) > 8
    assert not [page for page in pages if not (ROOT / page).exists()]


def test_every_room_has_a_page_and_a_line_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for room in (
        path
        for path in (ROOT / "src" / "redraft").iterdir()
        if path.is_dir() and path.name != "__pycache__"
    ):
        assert f"docs/{room.name}.md" in readme
