"""A stop: everybody gets an answer within the grace, and a second signal ends at once."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest

from tests.server.server_process import free_port, start_server

# It does not settle, and takes minutes.
ENDLESS: dict[str, Any] = {
    "model": "small-text",
    "messages": [{"role": "user", "content": "Who lives in Cordunia?"}],
    "max_tokens": 200,
    "max_denoising_steps": 2000,
    "stability_threshold": 1999,
}


@pytest.fixture
def server() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    process = start_server(port, "--grace", "2")
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()


def wait_for_load(url: str, count: int) -> None:
    while httpx2.get(f"{url}/ready").json()["requests"] < count:
        time.sleep(0.05)


def test_what_cannot_finish_gets_an_error_in_its_own_form(
    server: tuple[subprocess.Popen[bytes], str],
) -> None:
    process, url = server
    found: dict[str, Any] = {}

    def whole() -> None:
        found["whole"] = httpx2.post(f"{url}/v1/chat/completions", json=ENDLESS, timeout=120)

    def stream() -> None:
        body = ENDLESS | {"stream": True}
        with httpx2.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=120) as answer:
            found["status"] = answer.status_code
            found["stream"] = [line for line in answer.iter_lines() if line]

    def client() -> None:
        mine = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0)
        try:
            mine.chat.completions.create(
                model=ENDLESS["model"],
                messages=ENDLESS["messages"],
                max_tokens=200,
                extra_body={"max_denoising_steps": 2000, "stability_threshold": 1999},
            )
        except openai.InternalServerError as error:
            found["client"] = error.code

    threads = [threading.Thread(target=one) for one in (whole, stream, client)]
    for thread in threads:
        thread.start()
    wait_for_load(url, 3)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(60)
    assert process.wait(60) == 0
    assert found["whole"].status_code == 503
    assert found["whole"].json()["error"]["code"] == "shutting_down"
    assert found["client"] == "shutting_down"
    if found["status"] == 200:
        assert found["stream"][-1] == "data: [DONE]"
        assert json.loads(found["stream"][-2][6:])["error"]["code"] == "shutting_down"
    else:
        assert found["status"] == 503
        assert json.loads("".join(found["stream"]))["error"]["code"] == "shutting_down"


def test_a_second_signal_ends_at_once(server: tuple[subprocess.Popen[bytes], str]) -> None:
    process, url = server

    def ask() -> None:
        try:
            httpx2.post(f"{url}/v1/chat/completions", json=ENDLESS, timeout=120)
        except httpx2.TransportError:
            broken.set()

    broken = threading.Event()
    asking = threading.Thread(target=ask)
    asking.start()
    wait_for_load(url, 1)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    asking.join(60)
    assert broken.is_set()
