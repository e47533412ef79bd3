"""ChatTemplate: messages to the one string that the model was taught to continue."""

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

# A plain template of turns, for tokenizers that are made here and have no checkpoint's template.
TURN_TEMPLATE = """\
{{ bos_token }}{% for message in messages %}<|turn>\
{{ 'model' if message.role == 'assistant' else message.role }}
{{ message.content }}<turn|>
{% endfor %}{% if add_generation_prompt %}<|turn>model
{% endif %}"""


class ChatTemplate:
    """A Jinja template, run in a sandbox: a checkpoint's template is not trusted with more than
    text.

    Args:
        source: the template, kept as an attribute.
        variables: names it may use beside the messages, such as `bos_token`.
    """

    def __init__(self, source: str, variables: Mapping[str, Any] | None = None) -> None:
        self.source = source
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals |= {
            "raise_exception": _raise,
            "strftime_now": lambda form: datetime.now().strftime(form),
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
        """`chat_template.jinja`, or `chat_template` inside `tokenizer_config.json`; None where
        there is neither."""
        config = tokenizer_config(folder)
        path = folder / "chat_template.jinja"
        try:
            source = (
                path.read_text(encoding="utf-8") if path.exists() else config.get("chat_template")
            )
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{path} is not UTF-8 text: {error}") from error
        if isinstance(source, list):  # named templates
            source = next(
                (entry["template"] for entry in source if entry.get("name") == "default"), None
            )
        if not isinstance(source, str):
            return None
        variables = {}
        for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
            value = config.get(name)
            variables[name] = value.get("content") if isinstance(value, Mapping) else value or ""
        return cls(source, variables)

    def render(self, messages: Sequence[Message], *, answer: bool = True, **options: Any) -> str:
        """The prompt for `messages`, each with `role` and `content`.

        Args:
            answer: end with the opening of the model's turn.
            options: passed to the template (`tools`, `enable_thinking`).

        Raises:
            ChatTemplateError: no messages, a message without a role, or one that the template
                refuses.
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
                add_generation_prompt=answer,
                **{"tools": None} | self._variables | options,
            )
        except Exception as error:  # a template can raise anything: it is a program
            raise ChatTemplateError(
                f"the checkpoint's chat template refuses these messages: {error}"
            ) from error


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)
