"""`redraft.connect` and our own server: the same answers as the model in this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

import redraft
from redraft.errors import ConfigError, RemoteEngineError, UnsupportedByEngineError
from redraft.events import Committed, Draft, Finished
from redraft.server import Settings, create_app

SAID = [{"role": "user", "content": "calc 17+25-03"}]


@pytest.fixture(scope="module")
def model() -> redraft.Model:
    return redraft.load("small")


@pytest.fixture(scope="module")
def address(model: redraft.Model) -> Iterator[str]:
    """Serve a model at a port of this machine."""
    app = create_app({"small": model}, Settings(api_key="secret", grace=0.0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_a_seed_gives_the_same_text_here_and_there(address: str, model: redraft.Model) -> None:
    with redraft.connect(address, api_key="secret") as remote:
        there = remote.generate(messages=SAID, seed=5)
        here = model.generate(messages=SAID, seed=5)
    assert (there.text, there.seed, there.reason) == (here.text, here.seed, here.reason)
    steps = here.statistics.steps_per_canvas
    assert there.statistics.steps_per_canvas == steps


def test_a_stream_shows_drafts_and_the_text(address: str, model: redraft.Model) -> None:
    with redraft.connect(f"{address}/v1", api_key="secret") as remote:
        *events, last = remote.stream(messages=SAID, seed=6)
    here = model.generate(messages=SAID, seed=6)
    assert isinstance(last, Finished)
    assert last.text == here.text == "".join(e.text for e in events if isinstance(e, Committed))
    drafts = [one for one in events if isinstance(one, Draft)]
    assert len(drafts) == sum(here.statistics.steps_per_canvas)


def test_what_cannot_be_is_told(address: str) -> None:
    with pytest.raises(RemoteEngineError, match="API key"):
        redraft.connect(address, api_key="wrong")
    with pytest.raises(ConfigError, match="small"):
        redraft.connect(address, api_key="secret", model="large")
    with redraft.connect(address, api_key="secret") as remote:
        with pytest.raises(UnsupportedByEngineError):
            remote.generate("a", frozen={0: 5})
        with pytest.raises(RemoteEngineError, match=r"max_tokens|max_new_tokens|context"):
            remote.generate(messages=SAID, max_new_tokens=10**9)
