"""Lexicon: all that compiling reads of a tokenizer. It is small enough to be sent to a process."""

from __future__ import annotations

from threading import Lock
from weakref import WeakKeyDictionary

from redraft.errors import ConstraintError
from redraft.grammar.tokens.token_transitions import VocabularyBytes
from redraft.text import Tokenizer
from redraft.text.call_region import CALL_MARKERS
from redraft.text.reasoning import CHANNEL_MARKERS
from redraft.text.token_bytes import token_bytes


class Lexicon:
    """The bytes of all tokens, and the ids of the markers of calls and channels."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        markers = (*CALL_MARKERS, *CHANNEL_MARKERS)
        self._ids = {marker: tokenizer.token_id(marker) for marker in markers}
        self._bytes: VocabularyBytes | str
        try:
            self._bytes = VocabularyBytes(token_bytes(tokenizer))
        except ConstraintError as error:
            self._bytes = str(error)  # some constraints do without

    def token_id(self, token: str) -> int | None:
        """Return the id of a marker, None where the vocabulary lacks it."""
        return self._ids[token]

    @property
    def vocabulary(self) -> VocabularyBytes:
        """The bytes of all tokens.

        Raises:
            ConstraintError: its tokens have no bytes of their own.
        """
        if isinstance(self._bytes, str):
            raise ConstraintError(self._bytes)
        return self._bytes


_lexicons: WeakKeyDictionary[Tokenizer, Lexicon] = WeakKeyDictionary()
_lock = Lock()


def lexicon_of(tokenizer: Tokenizer) -> Lexicon:
    """Return the lexicon of a tokenizer, which is built once."""
    with _lock:
        if tokenizer not in _lexicons:
            _lexicons[tokenizer] = Lexicon(tokenizer)
        return _lexicons[tokenizer]
