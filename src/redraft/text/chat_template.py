"""ChatTemplate: from messages to the prompt that a model was trained to continue.

messages, tools -> plain data -> marks around control tokens -> template -> prompt
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from redraft.errors import ChatTemplateError
from redraft.text.control_tokens import (
    NO_CONTROL_TOKENS,
    ControlTokens,
    control_tokens,
    without_marks,
)
from redraft.text.image_parts import ImagePart
from redraft.text.json_value import Json
from redraft.text.messages import IMAGE, Message, plain_messages
from redraft.text.plain_data import plain
from redraft.text.plain_file import is_there, read_text
from redraft.text.template_environment import CompiledTemplate
from redraft.text.tokenizer import Tokenizer
from redraft.text.tokenizer_files import TokenizerFiles, read_object
from redraft.text.tool_schemas import plain_tools, simple_tool

# Gemma's turns without tools and reasoning, for tokenizers that are built here.
TURN_TEMPLATE = """\
{{ bos_token }}{% for message in messages %}<|turn>\
{{ 'model' if message.role == 'assistant' else message.role }}
{{ message.content }}<turn|>
{% endfor %}{% if add_generation_prompt %}<|turn>model
{% endif %}"""
# Gemma's turns with parts of texts and images, for models that read images and are built here.
IMAGE_TEMPLATE = """\
{{ bos_token }}{% for message in messages %}<|turn>\
{{ 'model' if message.role == 'assistant' else message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}\
{{ '<|image|>' if part.type == 'image' else part.text }}{% endfor %}{% endif %}<turn|>
{% endfor %}{% if add_generation_prompt %}<|turn>model
{% endif %}"""
# What stands for an image while the order of images is checked.
IMAGE_PROBE = re.compile(r"redraft-image-(\d+)-")
DEFAULT, TOOL_USE = "default", "tool_use"
DEFAULT_FILE, NAMED_FOLDER = "chat_template.jinja", "additional_chat_templates"


class ChatTemplate:
    """The chat templates of a checkpoint: most have one, some have others beside it, with names.

    Args:
        source: the template that is used unless another is named; None where each has a name.
        variables: values that a template may use beside the messages, such as `bos_token`.
        named: further templates. One with the name `tool_use` is used where there are tools.

    Raises:
        CheckpointError: a template is not valid.
    """

    def __init__(
        self,
        source: str | None,
        variables: Mapping[str, Any] | None = None,
        named: Mapping[str, str] | None = None,
    ) -> None:
        self.source = source
        self.named = dict(named or {})
        sources = self.named | ({} if source is None else {DEFAULT: source})
        self._templates = {name: CompiledTemplate(text) for name, text in sources.items()}
        self._variables = dict(variables or {})

    def __deepcopy__(self, memo: dict[int, Any]) -> ChatTemplate:
        return self  # compiled templates do not change, and cannot be copied

    @classmethod
    def from_folder(cls, folder: Path) -> ChatTemplate | None:
        """Read a checkpoint's templates.

        Returns:
            Those of `chat_template.jinja` and `additional_chat_templates/`, or else of
            `tokenizer_config.json`, or else of a processor's files; None where there are none.

        Raises:
            CheckpointError: they cannot be read.
        """
        if not (sources := _sources(folder)):
            return None
        default = sources.pop(DEFAULT, None)
        return cls(default, TokenizerFiles.of(folder).variables, sources)

    def render(
        self,
        /,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        template: str | None = None,
        **variables: object,
    ) -> str:
        """Return the prompt for `messages`, each with `role` and `content`.

        Args:
            messages: see `plain_messages` for what they may hold.
            tools: functions as OpenAI's API has them.
            documents: texts for a template that reads them, each with `title` and `text`.
            add_generation_prompt: end with the opening of the model's turn.
            template: the name of a further template.
            variables: further variables of the template, such as `enable_thinking`.

        Raises:
            ChatTemplateError: a message or a tool is not valid, the template refuses them, or there
                is no template of that name.
        """
        prompt = self.prompt(
            messages,
            tools=tools,
            documents=documents,
            add_generation_prompt=add_generation_prompt,
            template=template,
            **variables,
        )
        return prompt.text()

    def prompt(
        self,
        /,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        template: str | None = None,
        **variables: object,
    ) -> ChatPrompt:
        """Return the prompt for `messages`, to be read as text or as token ids.

        Arguments and errors as for `render`; errors of the template itself come later.
        """
        chosen = self._choose(template, tools)
        given = {name: plain(value, name) for name, value in variables.items()}
        images: list[ImagePart] = []
        given["messages"] = list(plain_messages(messages, chosen.reads_parts, images))
        given["tools"] = _plain_tools(chosen, tools)
        given["documents"] = plain(documents, "documents")
        own = self._variables | {"add_generation_prompt": bool(add_generation_prompt)}
        return ChatPrompt(chosen, own, given, tuple(images))

    def save(self, folder: Path) -> None:
        """Write the templates into a checkpoint folder."""
        if self.source is not None:
            (folder / DEFAULT_FILE).write_text(self.source, encoding="utf-8")
        for name, source in self.named.items():
            path = folder / NAMED_FOLDER / f"{name}.jinja"
            path.parent.mkdir(exist_ok=True)
            path.write_text(source, encoding="utf-8")

    def _choose(self, name: str | None, tools: object) -> CompiledTemplate:
        if name is None:
            use_tools = tools is not None and TOOL_USE in self._templates
            name = TOOL_USE if use_tools else DEFAULT
        if name not in self._templates:
            known = ", ".join(sorted(self._templates))
            raise ChatTemplateError(
                f"this checkpoint has no chat template {name!r}: its templates are {known}"
            )
        return self._templates[name]


@dataclass(frozen=True)
class ChatPrompt:
    """A conversation, ready to be rendered.

    Attributes:
        template: the template that was chosen.
        variables: values that are the checkpoint's own, such as `bos_token`.
        given: values that a caller has given.
        images: those of the messages, in their order.
    """

    template: CompiledTemplate
    variables: Mapping[str, Any]
    given: Mapping[str, Json]
    images: tuple[ImagePart, ...] = ()

    def text(self) -> str:
        """Return the prompt as the template writes it.

        Raises:
            ChatTemplateError: the template refuses the conversation.
        """
        return without_marks(self._rendered(NO_CONTROL_TOKENS))

    def encode(self, tokenizer: Tokenizer, *, sanitize_control_tokens: bool = True) -> list[int]:
        """Return the token ids of the prompt.

        Args:
            sanitize_control_tokens: text that a caller has given has no control tokens: it stays
                text. False reads them wherever they stand, as other engines do.

        Raises:
            ChatTemplateError: the template refuses the conversation. RequestError: a text is not
                valid Unicode.
        """
        if not sanitize_control_tokens:
            return tokenizer.encode(self.text(), bos=False)
        controls = control_tokens(tokenizer, self.template.literal_text)
        return controls.encode(self._rendered(controls), tokenizer)

    def check_order(self) -> None:
        """Check that the template writes the images in the order of the messages.

        A place does not say which image it is for: the conversation is rendered once more, with a
        text of its own in the place of each.

        Raises:
            ChatTemplateError: it writes them in another order, or one of them twice.
        """
        if len(self.images) < 2:
            return
        numbers = itertools.count()
        messages = [_with_probes(message, numbers) for message in _list(self.given["messages"])]
        probed = replace(self, given={**self.given, "messages": messages}).text()
        found = [int(number) for number in IMAGE_PROBE.findall(probed)]
        if found != list(range(len(self.images))):
            raise ChatTemplateError(
                "the chat template of this checkpoint writes images in another order than the "
                "messages have them: give one image a request"
            )

    def _rendered(self, controls: ControlTokens) -> str:
        marked = {name: controls.mark(value) for name, value in self.given.items()}
        return self.template.render({**self.variables, **marked})


def _list(value: Json) -> list[Json]:
    assert isinstance(value, list)
    return value


def _with_probes(message: Json, numbers: Iterator[int]) -> Json:
    """Return a message with a numbered text in the place of each image."""
    assert isinstance(message, dict)
    if not isinstance(content := message.get("content"), list):
        return message
    parts: list[Json] = [
        {"type": "text", "text": f"redraft-image-{next(numbers)}-"} if part == IMAGE else part
        for part in content
    ]
    return message | {"content": parts}


def _plain_tools(template: CompiledTemplate, tools: Sequence[Mapping[str, Any]] | None) -> Json:
    if tools is None:
        return None
    found = plain_tools(tools)
    return list(found if template.copies_schemas else map(simple_tool, found))


def _sources(folder: Path) -> dict[str, str]:
    """Return the templates of a folder, by name, from the first place that has any."""
    found = {}
    if is_there(default := folder / DEFAULT_FILE):
        found[DEFAULT] = read_text(default)
    for path in sorted((folder / NAMED_FOLDER).glob("*.jinja")):
        found[path.stem] = read_text(path)
    if found:
        return found
    for name in ("tokenizer_config.json", "chat_template.json", "processor_config.json"):
        if found := _sources_of(read_object(folder / name).get("chat_template")):
            return found
    return {}


def _sources_of(value: Json) -> dict[str, str]:
    """Return the templates of a config: a text, a list of named ones, or names with texts."""
    if isinstance(value, str):
        return {DEFAULT: value}
    entries = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    named = {str(one.get("name")): one.get("template") for one in entries}
    texts = value if isinstance(value, dict) else named
    return {name: text for name, text in texts.items() if isinstance(text, str)}
