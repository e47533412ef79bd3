"""Model: one that can also fill in."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from redraft import engine
from redraft.config import GenerationConfig
from redraft.config.check import check_integer
from redraft.config.special_tokens import EOS_ID
from redraft.editing.filling import Filling
from redraft.editing.layout import Pieces, Placed, place, widths_to_try
from redraft.editing.prefix import Prefix
from redraft.editing.repair import Repair, Repaired
from redraft.editing.result import Infilled
from redraft.editing.session import Session
from redraft.editing.template import MOST_TOKENS, Hole, Template
from redraft.editing.typed import type_holes
from redraft.engine.model import load as load_plain
from redraft.engine.request import check_tokens
from redraft.errors import ConfigError, ConstraintUnsatisfiedError, ContextLengthError, RequestError
from redraft.events import Draft
from redraft.grammar import TokenDFA, as_constraint
from redraft.text import Tokenizer

CANDIDATES = 6
TemplateLike = str | Sequence[str | Hole] | Template


class Model(engine.Model):
    """A DiffusionGemma that writes, and fills in from both sides."""

    @classmethod
    def of(cls, plain: engine.Model) -> Model:
        """The same model, which can now fill in."""
        return cls(
            plain.network,
            plain.tokenizer,
            plain.chat_template,
            plain.generation_config,
            plain.checkpoint,
        )

    def infill(
        self,
        template: TemplateLike,
        *,
        instruction: str | None = None,
        max_candidates: int = CANDIDATES,
        max_steps: int | None = None,
        heal: bool = True,
        method: Literal["diffusion", "typewriter"] = "diffusion",
        **options: Any,
    ) -> Infilled:
        """Fill the holes of a text; what stands outside them comes back as it was.

        How many tokens a hole takes is not known: up to `max_candidates` widths between its least
        and its most are tried as rows of one batch behind one encoded prefix, and the likeliest
        filling is kept (see `Candidate.score`). A model that learnt to pad leaves the rest of a
        hole empty. A hole wider than a canvas is written over several.

        Args:
            template: a text with `<hole>` marks, or texts and Holes in their order.
            instruction: what a user asks for; the text is then the answer to it, in the chat
                template. Without one the text stands for itself.
            max_steps: denoising steps of all candidates together, after which those that have not
                settled are taken as they stand; no limit unless given. `max_denoising_steps` limits
                the steps of each canvas.
            heal: where a hole begins or ends inside a word, try every width with the token beside
                it written anew too.
            method: "typewriter" fills left to right with the same weights, for comparison:
                greedily, every length tried, so that of all options only `eos_token_id` counts.
            options: fields of GenerationConfig; `max_new_tokens` and `stop` mean nothing here.
                Penalties are for tokens of the encoded prefix.

        Raises:
            RequestError, ConfigError: before any work, what is wrong with the template or the
                options. NonFiniteError: broken weights.
        """
        template = Template.of(template)
        if method == "typewriter":
            if any(hole.constraint for hole in template.holes):
                raise RequestError(
                    "the typewriter cannot fill holes that have a constraint: it does not know where they end"
                )
            config = self._settings(options)
            pieces = self._pieces(template, instruction)
            typed = sum(hole.max_tokens for hole in template.holes) + pieces.between_length
            self._check_length(pieces, typed + self.config.canvas_length)
            tokenizer = self._needed_tokenizer()
            return type_holes(
                self.network, tokenizer, template, pieces, self._ends(config), config.seed or 0
            )
        if method != "diffusion":
            raise ConfigError(f"{method=} must be 'diffusion' or 'typewriter'")
        search: dict[str, Any] = {
            "max_candidates": max_candidates,
            "max_steps": max_steps,
            "heal": heal,
        }
        return self.fill_in(template, Prefix(self.network), instruction, **search, **options)

    def stream_infill(
        self,
        template: TemplateLike,
        *,
        instruction: str | None = None,
        max_candidates: int = CANDIDATES,
        max_steps: int | None = None,
        heal: bool = True,
        **options: Any,
    ) -> Iterator[Draft | Infilled]:
        """`infill` as events: a Draft a candidate and step, whose `text` is all of the text as it
        stands, then the Infilled.

        Bad input raises here, at the call, not at the first event.
        """
        search: dict[str, Any] = {
            "max_candidates": max_candidates,
            "max_steps": max_steps,
            "heal": heal,
        }
        return self.filling(
            Template.of(template), Prefix(self.network), instruction, **search, **options
        ).run()

    def fill_in(
        self, template: Template, prefix: Prefix, instruction: str | None = None, **options: Any
    ) -> Infilled:
        """`infill` by diffusion, with its options, behind a prefix that may have been encoded
        before."""
        *_, filled = self.filling(template, prefix, instruction, **options).run()
        assert isinstance(filled, Infilled)
        return filled

    def edit(self, text: str, *, instruction: str | None = None) -> Session:
        """Begin to edit a text: with undo and redo, and without encoding again what did not
        change."""
        return Session(self, text, instruction)

    def insert(
        self,
        text: str,
        at: int,
        instruction: str | None = None,
        *,
        hole: Hole | None = None,
        **options: Any,
    ) -> Infilled:
        """Fill in something at character `at` of a text; instruction and options as for
        `infill`."""
        return self.infill(
            Template.around(text, [(at, at)], hole), instruction=instruction, **options
        )

    def rewrite(
        self,
        text: str,
        spans: Sequence[tuple[int, int]],
        instruction: str | None = None,
        *,
        hole: Hole | None = None,
        **options: Any,
    ) -> Infilled:
        """Write the spans (first and last character) of a text anew.

        Args:
            instruction: what is to become of them. The model does not see what it writes over, so
                the user's turn says it: `rewrite what stands there: instruction`.
            hole: how wide they may become; twice as wide as they are unless given, and 24 tokens at
                least.
            options: as for `infill`.
        """
        template, instruction = self.rewriting(text, spans, instruction, hole)
        return self.infill(template, instruction=instruction, **options)

    def rewriting(
        self,
        text: str,
        spans: Sequence[tuple[int, int]],
        instruction: str | None,
        hole: Hole | None,
    ) -> tuple[Template, str | None]:
        """What `rewrite` asks of `infill`: a template, and what the user's turn says."""
        template = Template.around(text, spans, hole)
        old = [text[first:last] for first, last in sorted(spans)]
        if hole is None:
            tokens = max(len(self._needed_tokenizer().encode(part, bos=False)) for part in old)
            template = Template.around(text, spans, Hole(1, max(MOST_TOKENS, 2 * tokens)))
        if instruction is not None:
            instruction = f"rewrite {' ... '.join(part.strip() for part in old)}: {instruction}"
        return template, instruction

    def repair(
        self,
        text: str,
        *,
        instruction: str | None = None,
        most: int = 8,
        rounds: int = 4,
        **options: Any,
    ) -> Repaired:
        """Noise the tokens of a text again that the model finds least likely, and keep what makes
        it a likelier text.

        Args:
            instruction: as for `infill`.
            most: tokens noised at a time, at most. rounds: changes to each half canvas of the text,
                at most.
            options: fields of GenerationConfig.

        Raises:
            RequestError, ConfigError: before any work, what is wrong. NonFiniteError: broken
                weights.
        """
        check_integer("rounds", rounds, minimum=1)
        check_integer("most", most, minimum=1)
        config = self._settings(options)
        tokenizer = self._needed_tokenizer()
        opening, closing = self._around(instruction)
        if not opening:
            raise RequestError(
                "this tokenizer has no BOS for a text to stand behind: give an instruction"
            )
        tokens = tokenizer.encode(text, bos=False)
        check_tokens([*opening, *tokens], self.config)
        needed = len(opening) + len(tokens) + self.config.canvas_length
        if needed > self.config.max_position_embeddings:
            raise ContextLengthError(
                f"the text and a canvas need {needed} tokens, the context holds {self.config.max_position_embeddings}: "
                "repair it in parts"
            )
        return Repair(
            self.network, tokenizer, config, opening, closing, self._filler(config), most, rounds
        ).run(text)

    def filling(
        self,
        template: Template,
        prefix: Prefix,
        instruction: str | None = None,
        *,
        max_candidates: int = CANDIDATES,
        max_steps: int | None = None,
        heal: bool = True,
        **options: Any,
    ) -> Filling:
        """`infill` by diffusion, checked and ready to run, behind a prefix that may have been
        encoded before."""
        check_integer("max_candidates", max_candidates, minimum=1)
        if max_steps is not None:
            check_integer("max_steps", max_steps, minimum=1)
        config = self._settings(options)
        pieces = self._pieces(template, instruction)
        constraints = self._constraints(template, config)
        healed = pieces
        if heal:
            bound = [constraint is not None for constraint in constraints]
            healed = pieces.healed(self._needed_tokenizer().texts[: self.config.vocab_size], bound)
        forms = [pieces, healed] if any(any(pair) for pair in healed.seams) else [pieces]
        length = self.config.canvas_length
        filling = self._filler(config)
        placed: list[Placed] = []
        for widths in widths_to_try(template, max_candidates, _least(constraints)):
            for form in forms:
                one = place(form, widths, length, filling)
                fits = (
                    len(pieces.prefix) + one.canvases[-1].start + length
                    <= self.config.max_position_embeddings
                )
                if fits or not placed:
                    placed.append(one)
        self._check_length(pieces, placed[0].canvases[-1].start + length)
        return Filling(
            self.network,
            self._needed_tokenizer(),
            template,
            placed,
            prefix,
            config,
            max_steps,
            constraints,
        )

    def _constraints(
        self, template: Template, config: GenerationConfig
    ) -> tuple[TokenDFA | None, ...]:
        """What the holes must be: a text, then padding."""
        found: list[TokenDFA | None] = []
        pad = self.network.config.pad_token_id
        for number, hole in enumerate(template.holes, 1):
            dfa = None
            if (constraint := as_constraint(hole.constraint)) is not None:
                dfa = constraint.compile(
                    self._needed_tokenizer(), [pad], pad, self.config.vocab_size
                )
            least = 0 if dfa is None else dfa.min_tokens
            if least > hole.max_tokens:
                raise ConstraintUnsatisfiedError(
                    f"the shortest text for hole {number} has {least} tokens, it has room for {hole.max_tokens}: give it more"
                )
            found.append(dfa)
        if any(found) and (config.top_p < 1.0 or config.min_p > 0.0):
            raise RequestError(
                "top_p and min_p could leave nothing that a hole's constraint admits: leave them out"
            )
        return tuple(found)

    def _settings(self, options: dict[str, Any]) -> GenerationConfig:
        config = self.generation_config.with_options(options)
        if outside := [token for token in config.logit_bias if token >= self.config.vocab_size]:
            raise ConfigError(
                f"logit_bias names tokens {outside}, the vocabulary has {self.config.vocab_size}"
            )
        if "eos_token_id" in options and any(
            token >= self.config.vocab_size for token in config.eos_token_id
        ):
            raise ConfigError(
                f"eos_token_id={config.eos_token_id} lies outside the vocabulary of {self.config.vocab_size}"
            )
        return (
            config
            if config.seed is not None
            else config.with_options({"seed": secrets.randbits(63)})
        )

    def _pieces(self, template: Template, instruction: str | None) -> Pieces:
        tokenizer = self._needed_tokenizer()
        opening, closing = self._around(instruction)
        end = closing or self._ends(self.generation_config)[:1]
        pieces = Pieces.of(template, tokenizer, opening, closing, end, self.config.canvas_length)
        check_tokens(
            [*pieces.prefix, *pieces.left, *itertools.chain(*pieces.between), *pieces.right],
            self.config,
        )
        if not pieces.prefix:
            raise RequestError(
                "nothing stands before the hole and this tokenizer has no BOS: give an instruction"
            )
        return pieces

    def _around(self, instruction: str | None) -> tuple[list[int], list[int]]:
        """Tokens before a text, and what ends it where it is an answer."""
        if instruction is None:
            bos = self._needed_tokenizer().bos_token_id
            return ([] if bos is None else [bos]), []
        closing = [token for token in self._ends(self.generation_config) if token != EOS_ID][:1]
        return self.chat_prompt([{"role": "user", "content": instruction}]), closing

    def _ends(self, config: GenerationConfig) -> list[int]:
        """Tokens that end a text, those that the model has."""
        return [token for token in config.eos_token_id if token < self.config.vocab_size]

    def _filler(self, config: GenerationConfig) -> int:
        """What fills a canvas behind the end of an answer."""
        return next(iter(self._ends(config)), self.config.pad_token_id)

    def _check_length(self, pieces: Pieces, behind: int) -> None:
        needed = len(pieces.prefix) + behind
        if needed > self.config.max_position_embeddings:
            raise ContextLengthError(
                f"the text before the hole and the canvases behind it need {needed} tokens, the context holds "
                f"{self.config.max_position_embeddings}: shorten the text before the hole, or make the holes smaller"
            )

    def _needed_tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            raise RequestError("filling in needs a tokenizer, and this checkpoint has none")
        return self.tokenizer


def _least(constraints: Sequence[TokenDFA | None]) -> list[int]:
    """Tokens that each hole needs at least."""
    return [1 if one is None else max(1, one.min_tokens) for one in constraints]


def load(path_or_id: str | Path, **options: Any) -> Model:
    """`redraft.engine.load`, to a model that also fills in."""
    return Model.of(load_plain(path_or_id, **options))
