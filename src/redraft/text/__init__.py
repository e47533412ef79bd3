"""Text and token ids: tokenizer, chat template, detokenizer, tool calls, reasoning. No torch."""

from redraft.text.answer import Answer, AnswerReader, read_answer
from redraft.text.chat_template import ChatTemplate
from redraft.text.detokenizer import Detokenizer
from redraft.text.messages import Message
from redraft.text.tokenizer import Tokenizer

__all__ = [
    "Answer",
    "AnswerReader",
    "ChatTemplate",
    "Detokenizer",
    "Message",
    "Tokenizer",
    "read_answer",
]
