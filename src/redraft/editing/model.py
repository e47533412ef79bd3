"""Model: one that can also fill in."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from redraft import engine
from redraft.config import GenerationConfig
from redraft.config.check import whole
from redraft.editing.fill import Candidate, Infilled, fill, scores
from redraft.editing.layout import Pieces, Placed, place, widths_to_try
from redraft.editing.prefix import Prefix
from redraft.editing.session import Session
from redraft.editing.template import Hole, Template
from redraft.engine.edits import logit_edits
from redraft.engine.model import load as load_plain
from redraft.errors import ConfigError, RequestError
from redraft.text import Tokenizer

CANDIDATES = 6


class Model(engine.Model):
    """A DiffusionGemma that writes, and fills in from both sides."""

    @classmethod
    def of(cls, plain: engine.Model) -> Model:
        """The same model, which can now fill in."""
        return cls(plain.network, plain.tokenizer, plain.chat_template, plain.generation_config, plain.checkpoint)

    def infill(
        self,
        template: str | Sequence[str | Hole] | Template,
        *,
        instruction: str | None = None,
        max_candidates: int = CANDIDATES,
        **options: Any,
    ) -> Infilled:
        """Fill the holes of a text; what stands outside them comes back as it was.

        How many tokens a hole takes is not known: up to `max_candidates` widths between its least and its most are tried as
        rows of one batch behind one encoded prefix, and the likeliest filling is kept (see `Candidate.score`). A model that
        learnt to pad leaves the rest of a hole empty.

        Args:
            template: a text with `<hole>` marks, or texts and Holes in their order.
            instruction: what a user asks for; the text is then the answer to it, in the chat template. Without one the text
                stands for itself.
            options: fields of GenerationConfig; those that say where a text ends mean nothing here. Penalties are for tokens
                of the encoded prefix.

        Raises:
            RequestError, ConfigError: before any work, what is wrong with the template or the options. NonFiniteError: broken
                weights.
        """
        return self.fill_in(Template.of(template), Prefix(self.network), instruction, max_candidates, **options)

    def fill_in(
        self,
        template: Template,
        prefix: Prefix,
        instruction: str | None = None,
        max_candidates: int = CANDIDATES,
        **options: Any,
    ) -> Infilled:
        """`infill` behind a prefix that may have been encoded before."""
        whole("max_candidates", max_candidates, least=1)
        config = self.generation_config.with_options(options)
        if outside := [token for token in config.logit_bias if token >= self.config.vocab_size]:
            raise ConfigError(f"logit_bias names tokens {outside}, the vocabulary has {self.config.vocab_size}")
        if config.seed is None:
            config = config.with_options({"seed": secrets.randbits(63)})
        pieces = self._pieces(template, instruction)
        length = self.config.canvas_length
        room = length - len(pieces.left) - sum(map(len, pieces.between))
        filling = config.eos_token_id[0] if config.eos_token_id else self.config.pad_token_id
        placed = [place(pieces, widths, length, filling) for widths in widths_to_try(template, max_candidates, room)]
        return self._fill(template, pieces, placed, prefix, config)

    def edit(self, text: str, *, instruction: str | None = None) -> Session:
        """Begin to edit a text: with undo and redo, and without encoding again what did not change."""
        return Session(self, text, instruction)

    def insert(self, text: str, at: int, *, hole: Hole | None = None, **options: Any) -> Infilled:
        """Fill in something at character `at` of a text; options as for `infill`."""
        return self.infill(Template.around(text, [(at, at)], hole), **options)

    def rewrite(self, text: str, spans: Sequence[tuple[int, int]], *, hole: Hole | None = None, **options: Any) -> Infilled:
        """Write the spans (first and last character) of a text anew; options as for `infill`."""
        return self.infill(Template.around(text, spans, hole), **options)

    @torch.inference_mode()
    def _fill(
        self, template: Template, pieces: Pieces, placed: list[Placed], prefix: Prefix, config: GenerationConfig
    ) -> Infilled:
        cache, last = prefix.read(pieces.prefix)
        edits = logit_edits(config, pieces.prefix, self.network.device)
        filled = fill(self.network, cache, placed, config, edits)
        rows, tokenizer = filled.tokens.tolist(), self._needed_tokenizer()
        texts = [self._clean(one, row) for one, row in zip(placed, rows, strict=True)]
        found = scores(self.network, cache, last, texts)
        candidates = []
        for number, (one, row) in enumerate(zip(placed, rows, strict=True)):
            fills = tuple(tokenizer.decode(row[at] for at in hole) for hole in one.holes)
            widths = tuple(map(len, one.holes))
            candidates.append(Candidate(widths, fills, filled.steps[number], found[number]))
            outside = set(range(len(row))).difference(one.free, *one.holes)
            assert all(row[at] == one.tokens[at] for at in outside), "a frozen position changed"
        order = sorted(range(len(candidates)), key=lambda number: -candidates[number].score)
        best = candidates[order[0]]
        return Infilled(
            template.filled(best.fills),
            best.fills,
            tuple(candidates[number] for number in order),
            (placed[order[0]].right_seen, len(pieces.right)),
            config.seed or 0,
        )

    def _pieces(self, template: Template, instruction: str | None) -> Pieces:
        tokenizer = self._needed_tokenizer()
        if instruction is None:
            opening, closing = ([tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []), []
        else:
            opening = self.chat_prompt([{"role": "user", "content": instruction}])
            closing = [token for token in self.generation_config.eos_token_id if token != 1][:1]
        pieces = Pieces.of(template, tokenizer, opening, closing)
        if not pieces.prefix:
            raise RequestError("nothing stands before the hole and this tokenizer has no BOS: give an instruction")
        needed = len(pieces.prefix) + self.config.canvas_length
        if needed > self.config.max_position_embeddings:
            raise RequestError(
                f"the text before the hole and a canvas need {needed} tokens, the context holds "
                f"{self.config.max_position_embeddings}: shorten the text before the hole"
            )
        return pieces

    def _clean(self, placed: Placed, row: list[int]) -> list[int]:
        """A settled canvas as a text: without the padding of holes, and without what lies behind everything."""
        padding = {at for hole in placed.holes for at in hole if row[at] == self.config.pad_token_id}
        return [token for at, token in enumerate(row) if at not in padding and at not in placed.free]

    def _needed_tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            raise RequestError("filling in needs a tokenizer, and this checkpoint has none")
        return self.tokenizer


def load(path_or_id: str | Path, **options: Any) -> Model:
    """`redraft.engine.load`, to a model that also fills in."""
    return Model.of(load_plain(path_or_id, **options))
