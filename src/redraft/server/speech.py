"""Speech: a spoken wish as text, by a recogniser on this machine or by another server of OpenAI's
API."""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from typing import Protocol

from redraft.errors import ConfigError, RequestError

KEY = "REDRAFT_SPEECH_API_KEY"


class Recogniser(Protocol):
    """What turns sound into words."""

    def words(self, sound: bytes, name: str) -> str:
        """What is said in a sound file; `name` may tell its kind.

        Raises:
            RequestError: the sound cannot be read, or nobody understood it.
        """
        ...


class WhisperRecogniser:
    """Whisper by faster-whisper, on the CPU in int8: a folder with a converted model, or the name
    of one on the hub.

    Raises:
        ConfigError: the package is missing, or there is no such model.
    """

    def __init__(self, model: str) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ConfigError(
                f"recognising speech needs more packages: pip install 'redraft[speech]' ({error})"
            ) from None
        try:
            self._model = WhisperModel(model, device="cpu", compute_type="int8")
        except Exception as error:  # whatever the hub or the library makes of a wrong name
            raise ConfigError(f"{model!r} is no speech model that can be used: {error}") from None

    def words(self, sound: bytes, name: str) -> str:
        try:
            segments, _ = self._model.transcribe(io.BytesIO(sound))
            return " ".join(segment.text.strip() for segment in segments)
        except (OSError, ValueError, IndexError) as error:  # av's errors are such
            raise RequestError(f"the sound cannot be read: {error}") from None


class RemoteRecogniser:
    """Any server of OpenAI's API; its key, where it asks for one, is in REDRAFT_SPEECH_API_KEY.

    Args:
        url: up to and with `/v1`. model: what it is asked for.

    Raises:
        ConfigError: the package that asks it is missing.
    """

    def __init__(self, url: str, model: str = "whisper-1") -> None:
        if find_spec("httpx2") is None:
            raise ConfigError(
                "asking a server that recognises speech needs more packages: pip install 'redraft[speech]' (httpx2)"
            )
        self._url, self._model = f"{url.rstrip('/')}/audio/transcriptions", model

    def words(self, sound: bytes, name: str) -> str:
        import httpx2

        headers = {"authorization": f"Bearer {key}"} if (key := os.environ.get(KEY)) else {}
        try:
            answer = httpx2.post(
                self._url,
                files={"file": (name, sound)},
                data={"model": self._model},
                headers=headers,
                timeout=60,
            )
            return str(answer.raise_for_status().json()["text"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            raise RequestError(
                f"the server that recognises speech did not: {type(error).__name__}"
            ) from None


def recogniser(given: str) -> Recogniser:
    """The recogniser that is meant: an address, or a whisper model.

    Raises:
        ConfigError: there is none.
    """
    return (
        RemoteRecogniser(given)
        if given.startswith(("http://", "https://"))
        else WhisperRecogniser(given)
    )
