"""What is kept: edits that can be taken back, pages, and both after a restart, even a violent
one."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from redraft.errors import ConfigError, RequestError
from redraft.server.routes import infill, sessions
from redraft.server.runtime import store
from redraft.server.runtime.store import Store
from tests.server.server_process import free_port, start_server
from tests.server.test_openai import MESSAGES, QUICK, Served
from tests.server.test_routes import TEXT

OPTIONS = {"seed": 1, **QUICK}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.close()


def ask(served: Served, method: str, path: str, **body: Any) -> httpx2.Response:
    given = {"json": body} if method in ("POST", "PUT") else {}
    return httpx2.request(method, f"http://127.0.0.1:{served.port}{path}", timeout=60, **given)


def test_edits_of_a_session_are_made_taken_back_and_made_again(served: Served) -> None:
    begun = ask(served, "POST", "/v1/sessions", model="small-text", text=TEXT).json()
    path = f"/v1/sessions/{begun['id']}"
    edit = {"spans": [[17, 28]], "instruction": "start at 5", "seed": 1}
    first = ask(served, "POST", f"{path}/edits", **edit).json()
    assert first["text"] == first["session"]["text"] == TEXT.replace("acc = 0", "acc = 5")
    assert "+    acc = 5" in first["diff"]
    by_hand = ask(
        served, "POST", f"{path}/edits", kind="replace", spans=[[0, 3]], replacement="async def"
    ).json()
    assert by_hand["text"] == first["text"].replace("def", "async def", 1)
    undone = ask(served, "POST", f"{path}/undo").json()
    assert (undone["text"], undone["edits"], undone["undone"]) == (first["text"], 1, 1)
    assert "-async def" in undone["diff"]
    assert ask(served, "POST", f"{path}/redo").json()["text"] == by_hand["text"]
    for _ in range(2):
        ask(served, "POST", f"{path}/undo")
    nothing = ask(served, "POST", f"{path}/undo")
    assert (nothing.status_code, "nothing to undo" in nothing.text) == (400, True)
    assert ask(served, "GET", path).json()["text"] == TEXT
    # Another edit forgets what was undone.
    ask(served, "POST", f"{path}/edits", kind="replace", spans=[[0, 0]], replacement="# new\n")
    assert ask(served, "POST", f"{path}/redo").status_code == 400
    assert [one["id"] for one in ask(served, "GET", "/v1/sessions").json()["data"]] == [begun["id"]]
    assert ask(served, "DELETE", path).json()["deleted"]
    assert (ask(served, "GET", path).status_code, ask(served, "DELETE", path).status_code) == (
        404,
        404,
    )


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"kind": "replace", "spans": [[0, 1]]}, "replacement"),
        ({"kind": "replace", "spans": [[5, 3]], "replacement": "x"}, "span"),
        ({"kind": "rewrite", "spans": [[0, 3]], "replacement": "x"}, "replace"),
        ({"kind": "insert", "spans": [[0, 3]]}, "one place"),
        ({"spans": [[0, 10_000]]}, ""),
        ({"spans": []}, "spans"),
    ],
)
def test_edits_that_cannot_be_made_change_nothing(
    served: Served, edit: dict[str, Any], words: str
) -> None:
    begun = ask(served, "POST", "/v1/sessions", model="small-text", text=TEXT).json()
    refused = ask(served, "POST", f"/v1/sessions/{begun['id']}/edits", **edit)
    assert (refused.status_code, words in refused.text) == (400, True)
    assert ask(served, "GET", f"/v1/sessions/{begun['id']}").json() == begun


def test_an_edit_of_a_text_that_another_changed_is_refused(tmp_path: Path) -> None:
    state = Store(tmp_path / "state.db")
    name = state.begin("m", "one", None)["id"]
    state.edit(name, "one", "two")
    with pytest.raises(ValueError, match="changed meanwhile"):
        state.edit(name, "one", "three")
    assert state.session(name)["text"] == "two"


def test_pages_are_kept_by_model_and_title(served: Served) -> None:
    path = "/v1/pages/Cordunia%20(full)"
    assert ask(served, "GET", f"{path}?model=small-text").status_code == 404
    kept = ask(served, "PUT", path, model="small-text", text="a [[page]]").json()
    assert (kept["title"], kept["text"]) == ("Cordunia (full)", "a [[page]]")
    ask(served, "PUT", path, model="small-text", text="written anew")
    assert ask(served, "GET", f"{path}?model=small-text").json()["text"] == "written anew"
    assert [
        one["title"] for one in ask(served, "GET", "/v1/pages?model=small-text").json()["data"]
    ] == ["Cordunia (full)"]
    assert ask(served, "GET", "/v1/pages?model=other").status_code == 404
    ask(served, "DELETE", f"{path}?model=small-text")
    assert ask(served, "GET", f"{path}?model=small-text").status_code == 404


def test_a_title_may_hold_a_slash(served: Served) -> None:
    path = "/v1/pages/AC%2FDC%3F/live"
    kept = ask(served, "PUT", path, model="small-text", text="loud").json()
    assert (kept["title"], kept["text"]) == ("AC/DC?/live", "loud")
    assert ask(served, "GET", f"{path}?model=small-text").json() == kept
    assert ask(served, "DELETE", f"{path}?model=small-text").json()["title"] == "AC/DC?/live"
    assert ask(served, "GET", f"{path}?model=small-text").status_code == 404


def test_work_on_texts_is_done_beside_the_loop(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comparing and tokenizing: all of it anywhere but in the thread of the loop."""
    done: list[tuple[str, bool]] = []

    def watched(module: Any, name: str) -> None:
        original = getattr(module, name)

        def noted(*given: Any, **named: Any) -> Any:
            done.append((name, threading.current_thread() is served.thread))
            return original(*given, **named)

        monkeypatch.setattr(module, name, noted)

    for module, name in (
        (sessions, "unified_diff"),
        (infill, "unified_diff"),
        (infill, "usage"),
    ):
        watched(module, name)
    watched(served.model.tokenizer, "encode")
    name = ask(served, "POST", "/v1/sessions", model="small-text", text=TEXT).json()["id"]
    body = {"spans": [[17, 28]], "max_candidates": 1, **OPTIONS}
    ask(served, "POST", f"/v1/sessions/{name}/edits", **body)
    for what in ("undo", "redo"):
        assert ask(served, "POST", f"/v1/sessions/{name}/{what}").json()["diff"]
    ask(
        served,
        "POST",
        f"/v1/sessions/{name}/edits",
        kind="replace",
        spans=[[0, 0]],
        replacement="# new\n",
    )
    ask(served, "POST", "/v1/edits", model="small-text", text=TEXT, **body)
    ask(
        served,
        "POST",
        "/v1/completions",
        model="small-text",
        prompt="x = 1\n",
        suffix="\ny = x\n",
        max_tokens=4,
        **OPTIONS,
    )
    assert {name for name, _ in done} == {"unified_diff", "usage", "encode"}
    assert [name for name, looped in done if looped] == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_session_that_ends_while_it_is_edited_is_not_there(
    served: Served, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = ask(served, "POST", "/v1/sessions", model="small-text", text=TEXT).json()["id"]
    report = sessions.infill_report

    async def ended(*given: Any) -> Any:
        gone = await asyncio.to_thread(ask, served, "DELETE", f"/v1/sessions/{name}")
        assert gone.status_code == 200
        return await report(*given)

    monkeypatch.setattr(sessions, "infill_report", ended)
    answer = ask(
        served,
        "POST",
        f"/v1/sessions/{name}/edits",
        spans=[[17, 28]],
        max_candidates=1,
        stream=stream,
        **OPTIONS,
    )
    assert answer.status_code == (200 if stream else 404)
    assert "session_not_found" in answer.text


def test_what_is_kept_has_bounds(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = ask(served, "POST", "/v1/sessions", model="small-text", text=TEXT).json()
    kept = Store()
    name = kept.begin("m", "0", None)["id"]
    for number in range(5):
        kept.edit(name, str(number), str(number + 1))
    monkeypatch.setattr(store, "MAX_EDITS", 3)
    for number in range(5, 8):
        kept.edit(name, str(number), str(number + 1))
    assert kept.session(name)["edits"] == 3
    for text in "765":
        assert kept.undo(name)[0]["text"] == text
    with pytest.raises(RequestError, match="nothing to undo"):
        kept.undo(name)
    assert (kept.session(name)["edits"], kept.session(name)["undone"]) == (0, 3)
    assert kept.redo(name)[0]["text"] == "6"
    monkeypatch.setattr(store, "MAX_ROWS", 2)
    kept.begin("m", "", None)
    with pytest.raises(RequestError, match="2 sessions are kept here"):
        kept.begin("m", "", None)
    for title in "aabb":
        kept.keep_page("m", title, title)
    with pytest.raises(RequestError, match="2 pages are kept here"):
        kept.keep_page("m", "c", "")
    assert kept.page("m", "a")["text"] == "a"
    monkeypatch.setattr(store, "MAX_CHARACTERS", len(TEXT) + 3)
    path = f"/v1/sessions/{begun['id']}/edits"
    for count, status in ((3, 200), (1, 400)):
        answer = ask(served, "POST", path, kind="replace", spans=[[0, 0]], replacement="#" * count)
        assert answer.status_code == status
    assert "can be kept" in answer.text


def test_the_list_of_sessions_is_without_their_texts(served: Served) -> None:
    begun = ask(served, "POST", "/v1/sessions", model="small-text", text=TEXT).json()
    listed = {one["id"]: one for one in ask(served, "GET", "/v1/sessions").json()["data"]}
    assert listed[begun["id"]] == {
        field: value for field, value in begun.items() if field != "text"
    }


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as file:
        file.execute("CREATE TABLE mine (x)")
    text = tmp_path / "text"
    text.write_text("no database" * 100)
    for path in (other, text, tmp_path / "no" / "folder.db"):
        with pytest.raises(ConfigError, match=path.name):
            Store(path)


def test_what_is_kept_survives_a_kill_under_load(tmp_path: Path) -> None:
    """Every edit that was confirmed is there after the restart; clients in between get errors of
    the connection alone."""
    port = free_port()
    url, state = f"http://127.0.0.1:{port}", tmp_path / "state.db"
    process = start_server(port, "--state", str(state))
    confirmed, surprises = [""], list[BaseException]()
    over = threading.Event()

    def load() -> None:
        body = {
            "model": "small-text",
            "messages": MESSAGES,
            "max_tokens": 200,
            "stream": True,
            **QUICK,
        }
        while not over.is_set():
            try:
                with httpx2.stream(
                    "POST", f"{url}/v1/chat/completions", json=body, timeout=60
                ) as answer:
                    lines = list(answer.iter_lines())
                    # A request that was sent before the stop at the end may come in behind it.
                    late = over.is_set() and "shutting_down" in "".join(lines)
                    assert answer.status_code in ((200, 429, 503) if late else (200, 429)), lines
            except httpx2.TransportError:
                time.sleep(0.05)
            except BaseException as error:
                surprises.append(error)

    def edit() -> None:
        try:
            while True:
                body = {"kind": "replace", "spans": [[0, 0]], "replacement": f"{len(confirmed)} "}
                confirmed.append(
                    httpx2.post(f"{url}/v1/sessions/{name}/edits", json=body, timeout=60).json()[
                        "text"
                    ]
                )
        except httpx2.TransportError:
            pass

    threads = [threading.Thread(target=load) for _ in range(4)]
    try:
        name = httpx2.post(f"{url}/v1/sessions", json={"model": "small-text", "text": ""}).json()[
            "id"
        ]
        editor = threading.Thread(target=edit)
        for thread in (*threads, editor):
            thread.start()
        while len(confirmed) < 20:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        editor.join(60)
        process = start_server(port, "--state", str(state))
        found = httpx2.get(f"{url}/v1/sessions/{name}", timeout=60).json()
        written = [
            f"{len(confirmed)} {confirmed[-1]}",
            confirmed[-1],
        ]  # the last may have been made, and not confirmed
        assert found["text"] in written
        assert found["edits"] in (len(confirmed) - 1, len(confirmed))
        time.sleep(1)
        assert any(thread.is_alive() for thread in threads)
        undone = httpx2.post(f"{url}/v1/sessions/{name}/undo", timeout=60)
        assert undone.status_code == 200
    finally:
        over.set()
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert process.wait(60) == 0
    assert not surprises
