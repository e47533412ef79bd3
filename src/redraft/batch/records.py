"""Records: the answer to a line, in the form of the line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redraft.batch.lines import Item

JsonObject = dict[str, Any]
# Fields of a server's answer that name it and tell when it was made.
PASSING = ("id", "created", "object")


@dataclass(frozen=True)
class LineAnswer:
    """The answer of an engine to a request: HTTP status and body."""

    status: int
    body: JsonObject

    @property
    def failed(self) -> bool:
        """True where the body is an error."""
        return self.status >= 400


def bad_line(problem: str) -> LineAnswer:
    """Return the answer to a line that is no request."""
    error = {"message": problem, "type": "invalid_request_error", "param": None, "code": "bad_line"}
    return LineAnswer(400, {"error": error})


def record_of(item: Item, answer: LineAnswer) -> JsonObject:
    """Return what is written for a line."""
    if item.openai:
        return {
            "id": f"batch_req_{item.line}",
            "custom_id": item.name,
            "response": {
                "status_code": answer.status,
                "request_id": f"req_{item.line}",
                "body": answer.body,
            },
            "error": None,
        }
    head: JsonObject = {"id": item.name}
    if answer.failed:
        return head | {"status": answer.status, "error": answer.body.get("error", answer.body)}
    answered = {name: value for name, value in answer.body.items() if name not in PASSING}
    seed = (item.body or {}).get("seed")
    return head | {"kind": item.kind, "seed": seed} | _texts(answered) | {"answer": answered}


def _texts(answer: JsonObject) -> JsonObject:
    """Return the text of an answer, or the texts where it has several choices."""
    if "choices" not in answer:
        return {"text": answer["text"]}
    found = [
        choice["message"]["content"] if "message" in choice else choice["text"]
        for choice in answer["choices"]
    ]
    return {"text": found[0]} if len(found) == 1 else {"texts": found}
