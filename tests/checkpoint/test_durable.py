"""What is renamed into its place has been written out to the disk."""

from __future__ import annotations

import ast
import errno
import os
from pathlib import Path

import pytest
import torch

from redraft.api import Model
from redraft.checkpoint.durable import replace_durably
from redraft.cli.texts import replace_text
from redraft.testing import tiny_model
from redraft.train.state import write_state

SOURCE = Path(__file__).parents[2] / "src" / "redraft"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is written out and renamed, in its order."""
    found: list[tuple[str, str]] = []
    replace = os.replace

    def synced(number: int) -> None:
        found.append(("sync", Path(f"/proc/self/fd/{number}").resolve().name))

    def replaced(draft: Path, target: Path) -> None:
        found.append(("replace", Path(target).name))
        replace(draft, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return found


def test_content_comes_before_the_name(tmp_path: Path, calls: list[tuple[str, str]]) -> None:
    draft = tmp_path / "draft"
    (draft / "inner").mkdir(parents=True)
    (draft / "inner" / "weights").write_text("w")
    replace_durably(draft, tmp_path / "target")
    assert calls == [
        ("sync", "weights"),
        ("sync", "inner"),
        ("sync", "draft"),
        ("replace", "target"),
        ("sync", tmp_path.name),
    ]


def test_states_checkpoints_and_texts_are_written_so(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    write_state(tmp_path / "state.safetensors", {"a": torch.zeros(1)}, [], {})
    assert calls[-3:] == [
        ("sync", "state.new"),
        ("replace", "state.safetensors"),
        ("sync", tmp_path.name),
    ]
    text = tmp_path / "text"
    text.write_text("before")
    replace_text(text, "before", "after")
    assert calls[-2:] == [("replace", "text"), ("sync", tmp_path.name)]
    Model(tiny_model()).save(tmp_path / "model")
    assert calls[-2:] == [("replace", "model"), ("sync", tmp_path.name)]
    assert ("sync", "model.safetensors") in calls


def test_a_file_system_that_cannot_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(number: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unable)
    (tmp_path / "draft").write_text("w")
    replace_durably(tmp_path / "draft", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "w"


def test_nothing_else_renames() -> None:
    """But for the parts of a draft, which is renamed as a whole."""
    found = {
        path.name
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("replace", "rename")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    assert found == {"durable.py", "save.py"}
