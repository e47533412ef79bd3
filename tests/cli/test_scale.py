"""`redraft batch`, `redraft plan` and `redraft chat --connect`, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.batch.jobs import read_lines, write_lines
from tests.command import call

PLAN = ("plan", "--gpu", "h100", "--format", "fp8", "--users", "50", "--price", "3")


def test_a_file_is_answered_and_goes_on(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "calc 17+25-03"}]
    write_lines(tmp_path / "in.jsonl", [{"id": "a", "messages": said}, b"nonsense"])
    words = ("batch", "in.jsonl", "out.jsonl", "-m", "small")
    done = call(*words, folder=tmp_path)
    assert done.returncode == 1, done.stderr
    told = " ".join(done.stderr.split())
    assert "1 of 2 lines are answered in out.jsonl; 1 have errors, in out.errors.jsonl" in told
    (answer,) = read_lines(tmp_path / "out.jsonl")
    assert (answer["id"], answer["kind"]) == ("a", "chat")
    again = call(*words, folder=tmp_path)
    assert (again.returncode, "1 of 2 lines" in again.stderr) == (1, True)
    other = call(*words, "--seed", "5", folder=tmp_path)
    assert other.returncode == 2
    assert "seed=0, and this is 5" in other.stderr


def test_a_plan_is_a_table_json_and_a_picture(tmp_path: Path) -> None:
    table = call(*PLAN)
    assert table.returncode == 0, table.stderr
    for words in ("passes a second", "users held", "price of a million tokens", "GiB: fits"):
        assert words in table.stdout
    picture = tmp_path / "plan.png"
    found = json.loads(call(*PLAN, "--json", "--picture", str(picture)).stdout)
    assert found["load"]["users"] == 50
    assert found["cost"] > 0
    assert picture.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("plan",), "either --gpu or --constants"),
        (("plan", "--gpu", "h1000"), "h100"),
        (("plan", "--gpu", "h100", "--format", "q4"), "nvfp4"),
        (("plan", "--gpu", "h100", "--model", "small"), "26b"),
        (("plan", "--constants", "/no/such"), "cannot be read"),
        (("chat", "--connect", "127.0.0.1:1"), "http://"),
        (("chat", "--connect", "http://127.0.0.1:1"), "cannot be reached"),
        (("batch", "/no/such", "b.jsonl"), "cannot be read"),
    ],
)
def test_what_is_wrong_is_one_line(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = call(*words, folder=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
