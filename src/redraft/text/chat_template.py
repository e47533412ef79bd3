"""ChatTemplate: from messages to the prompt that a model was trained to continue."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from redraft.errors import ChatTemplateError, CheckpointError
from redraft.text.tokenizer import tokenizer_config

Message = Mapping[str, Any]

# Gemma's turns without tools and reasoning, for tokenizers that are built here.
TURN_TEMPLATE = """\
{{ bos_token }}{% for message in messages %}<|turn>\
{{ 'model' if message.role == 'assistant' else message.role }}
{{ message.content }}<turn|>
{% endfor %}{% if add_generation_prompt %}<|turn>model
{% endif %}"""


class ChatTemplate:
    """A Jinja template of a checkpoint. It runs in a sandbox, because a checkpoint is not trusted.

    Args:
        source: the template.
        variables: values that it may use beside the messages, such as `bos_token`.

    Raises:
        CheckpointError: the template is not valid.
    """

    def __init__(self, source: str, variables: Mapping[str, Any] | None = None) -> None:
        self.source = source
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals |= {
            "raise_exception": _raise,
            "strftime_now": lambda format: datetime.now().strftime(format),
        }
        environment.filters["tojson"] = _to_json
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise CheckpointError(
                f"the checkpoint's chat template is not valid: {error}"
            ) from error
        self._variables = dict(variables or {})

    @classmethod
    def from_folder(cls, folder: Path) -> ChatTemplate | None:
        """Read a checkpoint's template.

        Returns:
            The template of `chat_template.jinja`, or else of `tokenizer_config.json`; None where
            there is neither.

        Raises:
            CheckpointError: it cannot be read.
        """
        config = tokenizer_config(folder)
        path = folder / "chat_template.jinja"
        try:
            source = (
                path.read_text(encoding="utf-8") if path.exists() else config.get("chat_template")
            )
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{path} is not UTF-8 text: {error}") from error
        if isinstance(source, list):  # several templates, each with a name
            defaults = [entry["template"] for entry in source if entry.get("name") == "default"]
            source = next(iter(defaults), None)
        if not isinstance(source, str):
            return None
        variables = {}
        for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
            value = config.get(name)
            variables[name] = value.get("content") if isinstance(value, Mapping) else value or ""
        return cls(source, variables)

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = True, **options: object
    ) -> str:
        """Return the prompt for `messages`, each with `role` and `content`.

        Args:
            add_generation_prompt: end with the opening of the model's turn.
            options: variables of the template, such as `tools` and `enable_thinking`.

        Raises:
            ChatTemplateError: there are no messages, a message has no role or no content, or the
                template refuses them.
        """
        if not messages:
            raise ChatTemplateError("messages is empty: give at least one")
        for number, message in enumerate(messages):
            if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
                raise ChatTemplateError(
                    f"messages[{number}] needs a role and content, it is {type(message).__name__}"
                )
            if not isinstance(message.get("content"), str | list) and not message.get("tool_calls"):
                raise ChatTemplateError(
                    f"messages[{number}] has no content: {message.get('content')!r}"
                )
        try:
            return self._template.render(
                messages=messages,
                add_generation_prompt=add_generation_prompt,
                **{"tools": None} | self._variables | options,
            )
        except Exception as error:  # a template is a program: it can raise anything
            raise ChatTemplateError(
                f"the checkpoint's chat template refuses these messages: {error}"
            ) from error


def _to_json(
    value: object, ensure_ascii: bool = False, indent: int | None = None, **options: Any
) -> str:
    """Write JSON as transformers' `tojson` filter does: Jinja's own escapes HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)
