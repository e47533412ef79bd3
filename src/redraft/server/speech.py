"""Speech recognition: a spoken instruction as text, by a model here or by another server."""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from typing import Protocol

from redraft.errors import ConfigError, RequestError

KEY = "REDRAFT_SPEECH_API_KEY"


class Recogniser(Protocol):
    """Turns sound into text."""

    def words(self, sound: bytes, name: str) -> str:
        """Return the text that is spoken in a sound file; `name` may show its format.

        Raises:
            RequestError: the sound cannot be read, or nothing was recognised.
        """
        ...


class WhisperRecogniser:
    """Whisper by faster-whisper, on the CPU in int8.

    Args:
        model: a folder with a converted model, or the name of one on the hub.

    Raises:
        ConfigError: the package is missing, or there is no such model.
    """

    def __init__(self, model: str) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ConfigError(
                f"speech recognition needs faster-whisper: pip install 'redraft[speech]' ({error})"
            ) from None
        try:
            self._model = WhisperModel(model, device="cpu", compute_type="int8")
        except Exception as error:  # the hub and the library raise many kinds
            raise ConfigError(f"the speech model {model!r} cannot be used: {error}") from None

    def words(self, sound: bytes, name: str) -> str:
        try:
            segments, _ = self._model.transcribe(io.BytesIO(sound))
            return " ".join(segment.text.strip() for segment in segments)
        except (OSError, ValueError, IndexError) as error:  # the errors of the audio library
            raise RequestError(f"the sound cannot be read: {error}") from None


class RemoteRecogniser:
    """A server with OpenAI's API; REDRAFT_SPEECH_API_KEY holds its key, if it needs one.

    Args:
        url: up to and including `/v1`. model: the name of its model.

    Raises:
        ConfigError: a package is missing.
    """

    def __init__(self, url: str, model: str = "whisper-1") -> None:
        if find_spec("httpx2") is None:
            raise ConfigError(
                "speech recognition by a server needs httpx2: pip install 'redraft[speech]'"
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
        except httpx2.HTTPError as error:
            raise RequestError(
                f"speech recognition failed: {type(error).__name__} from {self._url}; is that "
                "server running?"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise RequestError(
                f"speech recognition failed: the answer of {self._url} has no text"
            ) from None


def recogniser(given: str) -> Recogniser:
    """Return the recogniser at an address, or that of a whisper model.

    Raises:
        ConfigError: it cannot be used.
    """
    return (
        RemoteRecogniser(given)
        if given.startswith(("http://", "https://"))
        else WhisperRecogniser(given)
    )
