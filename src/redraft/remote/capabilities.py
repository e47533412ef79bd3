"""Capabilities: which options each engine's API has, and the fields that it has for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redraft.config.generation import GenerationOptions
from redraft.errors import UnsupportedByEngineError

# Names of options -> names of fields, as all of them have it.
LENGTH = {"max_new_tokens": "max_tokens", "stop": "stop"}
SAMPLING = {
    name: name for name in ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")
} | {"logit_bias": "logit_bias"}
NOT_OVER_HTTP = "no engine takes it over HTTP: load the checkpoint here, with redraft.load"


@dataclass(frozen=True)
class Capabilities:
    """Capabilities of an engine's API.

    Attributes:
        name: of the engine. fields: the options of a generation that it has, and the names of its
            fields for them. thinking: the field that switches the reasoning, "" for none.
        constraints: kinds that it has in a chat, and in a raw prompt. strategies: it takes a
            sampler, a stopping criterion and a method. drafts: it sends denoising steps.
        further: other options of a prompt that it has. remedy: what to do where it lacks something.
    """

    name: str
    fields: Mapping[str, str]
    thinking: str = ""
    constraints: tuple[str, ...] = ()
    raw_constraints: tuple[str, ...] = ()
    strategies: bool = False
    drafts: bool = False
    further: tuple[str, ...] = ("tools",)
    remedy: str = "leave it out, or use an engine that has it, such as redraft serve"
    reasons: Mapping[str, str] = field(default_factory=dict)

    def lacks(self, what: str, remedy: str = "") -> UnsupportedByEngineError:
        """Return the error of something that the engine does not have."""
        reason = self.reasons.get(what)
        because = f" ({reason})" if reason else ""
        return UnsupportedByEngineError(
            f"{what} is not supported by {self.name}{because}: {remedy or self.remedy}"
        )


ALL_CONSTRAINTS = ("json_schema", "regex", "choice", "grammar")
DIFFUSION = "its diffusion models are written without it"
ENGINES = {
    "redraft": Capabilities(
        "redraft",
        {name: name for name in GenerationOptions.__annotations__} | LENGTH,
        thinking="enable_thinking",
        constraints=ALL_CONSTRAINTS,
        raw_constraints=ALL_CONSTRAINTS,
        strategies=True,
        drafts=True,
        further=(
            "tools",
            "documents",
            "chat_template_kwargs",
            "sanitize_control_tokens",
            "add_special_tokens",
        ),
    ),
    # DiffusionGemma in vLLM refuses or ignores what its loop does not read: seeds, temperatures,
    # penalties, structured output (vllm#45418, #45436).
    "vllm": Capabilities(
        "vLLM's DiffusionGemma",
        LENGTH,
        thinking="chat_template_kwargs.enable_thinking",
        further=("tools", "documents", "chat_template_kwargs", "add_special_tokens"),
        remedy="leave it out, or serve the checkpoint with redraft serve; where this server has an "
        "autoregressive model, connect with engine='openai'",
        reasons=dict.fromkeys(
            ("seed", "temperature", "top_p", "logit_bias", "constraint"), DIFFUSION
        ),
    ),
    "openai": Capabilities(
        "an OpenAI-compatible server",
        LENGTH | SAMPLING,
        constraints=("json_schema",),
    ),
}


def engine_of(models: Mapping[str, Any]) -> str:
    """Return the engine that a list of models (`GET /v1/models`) is from.

    Where vLLM does not say whether a model is a diffusion model, it is taken for one: what such a
    model would ignore is then refused.
    """
    entries = [one for one in models.get("data") or [] if isinstance(one, dict)]
    if any("redraft" in one for one in entries):
        return "redraft"
    if any(one.get("owned_by") == "vllm" for one in entries):
        return "vllm"
    return "openai"
