"""Job: the compiling of one constraint, here or in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from redraft.errors import ConstraintError
from redraft.grammar.language.dfa import DFA
from redraft.grammar.tokens.build import build_token_dfa
from redraft.grammar.tokens.lexicon import Lexicon
from redraft.grammar.tokens.token_dfa import TokenDFA
from redraft.text.tokenizer import TokenIds


class Texts(Protocol):
    """A set of texts, which can be pickled."""

    def character_dfa(self, tokenizer: TokenIds) -> DFA:
        """Return the DFA of the texts."""
        ...


@dataclass(frozen=True)
class Job:
    """A constraint, and what it is compiled for (see `Constraint.compile`)."""

    constraint: Texts
    eos_ids: tuple[int, ...]
    pad_id: int
    vocab_size: int

    def run(self, lexicon: Lexicon) -> TokenDFA | None:
        """Return the token DFA; None where every token sequence is a valid text.

        Raises:
            ConstraintError: the constraint cannot be used.
        """
        dfa = self.constraint.character_dfa(lexicon)
        if dfa.universal:
            return None
        vocabulary = lexicon.vocabulary
        if text_ids := sorted(set(self.eos_ids) & vocabulary.spelled):
            raise ConstraintError(
                f"token {text_ids[0]} is text: it cannot end a text under a constraint "
                "(see eos_token_id)"
            )
        if not any(token < self.vocab_size for token in self.eos_ids):
            raise ConstraintError(
                f"a constraint needs a token that ends the text: none of {self.eos_ids} is in "
                f"the vocabulary of {self.vocab_size}"
            )
        fillers = {self.pad_id} - vocabulary.spelled
        return build_token_dfa(dfa, vocabulary, self.eos_ids, fillers, self.vocab_size)


Compiler = Callable[[Job, Lexicon], TokenDFA | None]
_elsewhere: ContextVar[Compiler | None] = ContextVar("compiler", default=None)


@contextmanager
def compiling_elsewhere(compiler: Compiler) -> Iterator[None]:
    """Let a compiler compile all constraints of the block. They are checked only then."""
    token = _elsewhere.set(compiler)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def is_elsewhere() -> bool:
    """Return True where constraints are compiled elsewhere: nothing is checked here."""
    return _elsewhere.get() is not None


def compiled(job: Job, lexicon: Lexicon) -> TokenDFA | None:
    """Return the result of a job, from the compiler of the context or from here."""
    compiler = _elsewhere.get()
    return job.run(lexicon) if compiler is None else compiler(job, lexicon)
