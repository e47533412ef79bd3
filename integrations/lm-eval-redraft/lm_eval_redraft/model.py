"""The model: the harness's three kinds of requests, run by redraft's engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import lm_eval.models
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import handle_stop_sequences, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

import redraft
from redraft.engine import Engine, Method, Request, Scoring, TokenLikelihood
from redraft.errors import ConfigError, RequestError
from redraft.events import Completed, Failed, Finished

assert lm_eval.models  # the harness's own models are registered too

DEFAULT_TOKENS = 256
METHODS = ("diffusion", "autoregressive")
Pair = tuple[tuple[str, str], list[int], list[int]]


@register_model("redraft")
class RedraftLM(TemplateLM):
    """A DiffusionGemma in this process.

    Args:
        pretrained: what `redraft.load` takes. method: how answers are written.
        batch_size: the largest batch. max_gen_toks: tokens of an answer where a task has no limit.
        adapter: folder of a LoRA adapter. settings: generation settings.

    Raises:
        ConfigError: a setting or the method does not exist. CheckpointError: the weights cannot be
            used.
    """

    def __init__(
        self,
        pretrained: str = "small-text",
        *,
        method: str = "diffusion",
        dtype: str = "auto",
        device: str | None = None,
        batch_size: int | str = 8,
        max_batch_size: int | None = None,
        max_gen_toks: int = DEFAULT_TOKENS,
        adapter: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        if method not in METHODS:
            raise ConfigError(f"{method=} does not exist: give one of {', '.join(METHODS)}")
        self._model = redraft.load(pretrained, dtype=dtype, device=device or "auto")
        if adapter is not None:
            self._model = self._model.with_adapter(adapter)
        if self._model.tokenizer is None:
            raise ConfigError(f"{pretrained} has no tokenizer, and the harness asks with texts")
        self._tokens = self._model.tokenizer
        self._name, self._method = str(pretrained), cast(Method, method)
        self._batch = 8 if str(batch_size).startswith("auto") else int(batch_size)
        self._max_gen_toks, self._settings = max_gen_toks, {"seed": 0} | settings
        self._model.processor.settings(self._settings)  # a wrong name is an error now

    @property
    def eot_token_id(self) -> int:
        """Token that ends a text."""
        return self._model.generation_config.eos_token_id[0]

    @property
    def prefix_token_id(self) -> int:
        """Token behind which a text without a context is scored: BOS, where there is one."""
        bos = self._tokens.bos_token_id
        return self.eot_token_id if bos is None else bos

    @property
    def max_length(self) -> int:
        """Tokens of the context."""
        return self._model.config.max_position_embeddings

    @property
    def tokenizer_name(self) -> str:
        """Name of the tokenizer, for the harness's caches."""
        return f"redraft-{self._name}".replace("/", "__")

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        """Return the token ids of a text, with BOS in front unless it is there already."""
        tokens = self._tokens.encode(string, bos=False)
        bos = self._tokens.bos_token_id
        if add_special_tokens is False or bos is None or tokens[:1] == [bos]:
            return tokens
        return [bos, *tokens]

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return the prompt of a conversation, with the checkpoint's template."""
        options = {} if add_generation_prompt else {"add_generation_prompt": False}
        prompt = self._model.chat_prompt(chat_history, chat_template_kwargs=options)
        return self._tokens.decode(prompt, special=True)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the source of the template."""
        template = self._model.chat_template
        return None if template is None or not chat_template else str(template.source)

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Return the log-likelihood of each whole text."""
        windows: list[Pair] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            (text,) = request.args
            found = get_rolling_token_windows(
                token_list=self.tok_encode(text, add_special_tokens=False),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length - 1,
                context_len=1,
            )
            for window in found:
                context, text_tokens = make_disjoint_window(window)
                windows.append((("", text), context, text_tokens))
                owners.append(number)
        sums = [0.0] * len(requests)
        for owner, (value, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            sums[owner] += value
        for request, value in zip(requests, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, value)
        return sums

    def _loglikelihood_tokens(
        self, requests: list[Pair], disable_tqdm: bool = False, **_: Any
    ) -> list[tuple[float, bool]]:
        """Return the log-likelihood of each continuation, and True where it is the likeliest."""
        works = []
        for _names, context, continuation in requests:
            kept = self.max_length - len(continuation)
            if kept < 1:
                raise RequestError(
                    f"a continuation of {len(continuation)} tokens does not fit into the context "
                    f"of {self.max_length}"
                )
            works.append(Scoring(context[-kept:], continuation, top=1))
        found = []
        for request, scored in zip(requests, self._scored(works), strict=True):
            value = sum(one.log_probability for one in scored)
            greedy = all(one.token == one.likeliest[0][0] for one in scored)
            self.cache_hook.add_partial("loglikelihood", request[0], (value, greedy))
            found.append((value, greedy))
        return found

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return an answer to each prompt, cut before the first of its stop strings."""
        model = self._model
        asked, stops = [], []
        for request in requests:
            context, given = request.args
            options, until = self._options(dict(given))
            kept = self.max_length - options["max_new_tokens"]
            if kept < 1:
                raise RequestError(
                    f"an answer of {options['max_new_tokens']} tokens does not fit into the "
                    f"context of {self.max_length}: lower max_gen_toks"
                )
            prompt = self.tok_encode(context)[-kept:]
            config = model.processor.settings(options)
            asked.append(Request.checked(prompt, config, model.config, method=self._method))
            stops.append(until)
        events = model.run(asked, max_batch_size=self._batch)
        texts = {event.request: event.text for event in events if isinstance(event, Finished)}
        found = []
        for number, (request, until) in enumerate(zip(requests, stops, strict=True)):
            text = postprocess_generated_text(texts[number], until, None)
            self.cache_hook.add_partial("generate_until", request.args, text)
            found.append(text)
        return found

    def _options(self, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the settings of an answer, and its stop strings.

        Settings of the model's arguments come before the task's. A task that does not sample takes
        the likeliest token (temperature 0), as with every model of the harness.
        """
        until = [stop for stop in handle_stop_sequences(given.pop("until", None), None) if stop]
        room = given.pop("max_gen_toks", given.pop("max_tokens", self._max_gen_toks))
        samples = bool(given.get("do_sample", given.get("temperature")))
        temperature = float(given.get("temperature") or 1.0) if samples else 0.0
        task = {"temperature": temperature, "max_new_tokens": int(room)}
        return task | self._settings | ({"stop": tuple(until)} if until else {}), until

    def _scored(self, works: Sequence[Scoring]) -> list[list[TokenLikelihood]]:
        """Return the likelihoods of all works, in their order."""
        engine = Engine(self._model.network, self._tokens, max_batch_size=self._batch)
        numbers = [engine.add(work) if work.tokens else None for work in works]
        found: dict[int, list[TokenLikelihood]] = {}
        for event in engine.run():
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Completed):
                found[event.request] = event.result
        return [[] if number is None else found[number] for number in numbers]
