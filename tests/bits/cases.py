"""Requests of every kind, drawn with a fixed seed, and what is recorded of each."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

import redraft
from redraft.testing import tiny_checkpoint
from redraft.testing.tiny import random_shape

CODE = (
    "def step(shops):\n    acc = 0\n    for one in shops:\n        acc += one.age\n    return acc\n"
)
BOARD = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
QUICK = {"max_denoising_steps": 8}


@dataclass(frozen=True)
class Case:
    """name: what it is recorded under. run: returns what is recorded, as JSON."""

    name: str
    run: Callable[[], Any]


def bits(numbers: Iterable[float]) -> str:
    """Return a digest of some floats, to the last bit."""
    return hashlib.sha256(b"".join(struct.pack("<d", number) for number in numbers)).hexdigest()[
        :16
    ]


def events(stream: Iterable[Any]) -> dict[str, Any]:
    """Return what a stream said of each request: tokens, passes, entropies."""
    told: dict[str, Any] = {}
    for event in stream:
        mine = told.setdefault(str(event.request), {"drafts": [], "commits": []})
        if isinstance(event, redraft.Draft):
            numbers = bits((*event.entropy, *event.confidence, *event.accepted, *event.revised))
            mine["drafts"].append(
                [event.canvas, event.step, bits(event.tokens), numbers, event.text]
            )
        elif isinstance(event, redraft.Committed):
            mine["commits"].append([event.canvas, event.steps, event.tokens, event.text])
        else:
            figures = event.statistics
            mine["finished"] = {
                "reason": event.reason, "tokens": event.tokens, "text": event.text, "reasoning": event.reasoning,
                "parsed": repr(event.parsed), "history": bits(token for held in event.history for token in held),
                "seed": event.seed, "steps": figures.steps_per_canvas, "forwards": figures.forwards,
                "encoder_passes": figures.encoder_passes, "prompt": figures.prompt_tokens,
            }  # fmt: skip
    return told


def infilled(result: Any) -> dict[str, Any]:
    """Return what came of filling in."""
    return {
        "text": result.text,
        "candidates": [[one.widths, one.fills, one.steps, one.score.hex()] for one in result.candidates],
        "context": result.right_context, "seed": result.seed,
        "history": bits(token for held in result.history for token in held),
    }  # fmt: skip


def without_seed(found: dict[str, Any]) -> dict[str, Any]:
    """Return the same without the seed that was drawn: left to right it changes nothing."""
    return {key: value for key, value in found.items() if key != "seed"}


def infill_events(stream: Iterable[Any]) -> dict[str, Any]:
    """Return the drafts of each candidate, and what came of all."""
    drafts: dict[str, list[Any]] = {}
    result: Any = None
    for event in stream:
        if isinstance(event, redraft.Draft):
            numbers = bits((*event.entropy, *event.confidence, *event.accepted, *event.revised))
            line = [event.canvas, event.step, bits(event.tokens), numbers, event.text]
            # Versions before had the candidate's number in `request`.
            number = getattr(event, "candidate", event.request)
            drafts.setdefault(str(number), []).append(line)
        else:
            result = event
    return {"drafts": drafts, "result": infilled(result)}


def options(rng: random.Random, vocabulary: int) -> dict[str, Any]:
    """Return settings of the generation, drawn at random."""
    drawn: dict[str, Any] = {
        "seed": rng.randrange(1 << 40),
        "max_new_tokens": rng.choice([1, 5, 16, 17, 40]),
    }
    drawn["max_denoising_steps"] = rng.choice([2, 6, 12, 48])
    choices = {
        "temperature": [0, 0.5, 2.0], "top_p": [0.9, 0.5], "min_p": [0.1], "repetition_penalty": [1.3, 0.8],
        "logit_bias": [{rng.randrange(vocabulary): 3.0}], "entropy_bound": [0.01, 0.5, 3.0],
        "stability_threshold": [0, 2], "confidence_threshold": [0.5, 0.05], "t_min": [0.1], "stop": [("e",), ("a", "in")],
        "eos_token_id": [(), (3, 4, 5)],
    }  # fmt: skip
    for name in rng.sample(sorted(choices), rng.randint(0, 4)):
        drawn[name] = rng.choice(choices[name])
    return drawn


def texts(rng: random.Random, name: str) -> str:
    """Return a prompt for a model."""
    if name == "small":
        return rng.choice(
            ["calc 17+25-03", "calc 04*12", f"sudoku {BOARD.replace('.', '0')}", "calc 99-01+02*03"]
        )
    if name == "small-text":
        return rng.choice(
            [
                "fill python",
                "def area(width):\n    return ",
                "wiki Cordunia",
                "<ul><li>milk</li></ul>",
            ]
        )
    return rng.choice(["a", "Once upon a time", "x" * 90, "h\u00e9llo \u4e16\u754c", "1 + 2 ="])


def generating(name: str, model: Any, rng: random.Random, count: int) -> Iterator[Case]:
    """Yield texts by diffusion and left to right, alone and in batches."""
    vocabulary, canvas = model.config.vocab_size, model.config.canvas_length
    for number in range(count):
        method = "typewriter" if number % 4 == 3 else "diffusion"
        settings, prompt = options(rng, vocabulary), texts(rng, name)
        frozen = (
            {rng.randrange(canvas): rng.randrange(vocabulary) for _ in range(3)}
            if number % 5 == 2
            else None
        )
        if method == "diffusion" and frozen:
            settings["frozen"] = frozen

        def one(prompt: Any = prompt, settings: Any = settings, method: str = method) -> Any:
            return events(model.stream(prompt, method=method, **settings))

        yield Case(f"{name} {method} {number}", one)
    for number in range(count // 6):
        method = "typewriter" if number % 3 == 2 else "diffusion"
        prompts = [texts(rng, name) for _ in range(rng.randint(2, 5))]
        settings = options(rng, vocabulary) | {"max_batch_size": rng.choice([1, 2, 8])}

        def many(prompts: Any = prompts, settings: Any = settings, method: str = method) -> Any:
            return events(model.stream(prompts, method=method, **settings))

        yield Case(f"{name} batch {method} {number}", many)


def constraining(name: str, model: Any, rng: random.Random, count: int) -> Iterator[Case]:
    """Yield texts under constraints."""
    made: list[Callable[[], Any]] = [
        lambda: redraft.Regex("[a-f]{3,9}[0-9]+"), lambda: redraft.Choice(["yes", "no", "perhaps"]),
        lambda: redraft.JsonSchema(SCHEMA), lambda: redraft.Grammar('start: "(" /[a-z]+/ ("," /[0-9]+/)* ")"'),
    ]  # fmt: skip
    for number in range(count):
        method = "typewriter" if number % 4 == 3 else "diffusion"
        constraint, prompt = (
            made[number % len(made) if number % 8 < 4 else rng.randrange(len(made))],
            texts(rng, name),
        )
        settings = {"seed": rng.randrange(1 << 40), "max_new_tokens": rng.choice([40, 60]), **QUICK}
        settings["temperature"] = rng.choice([0, 1.0])

        def one(
            prompt: Any = prompt,
            settings: Any = settings,
            method: str = method,
            constraint: Any = constraint,
        ) -> Any:
            return events(model.stream(prompt, method=method, constraint=constraint(), **settings))

        yield Case(f"{name} constrained {method} {number}", one)


def filling(name: str, model: Any, rng: random.Random, count: int) -> Iterator[Case]:
    """Yield holes of every kind, rewrites, insertions, repairs and sessions."""
    lines = CODE.splitlines(keepends=True)
    for number in range(count):
        settings: dict[str, Any] = {
            "seed": rng.randrange(1 << 40),
            "max_denoising_steps": rng.choice([4, 8, 48]),
        }
        settings["max_candidates"] = rng.choice([1, 3, 6])
        if number % 4 == 1:
            settings["max_steps"] = rng.choice([3, 20])
        if number % 3:
            settings["instruction"] = rng.choice(["fill python", "start at 5"])
        settings["heal"] = rng.random() < 0.7
        if number % 6 == 5:
            settings |= {"temperature": 0, "repetition_penalty": 1.2}
        at = rng.randrange(len(lines))
        kinds: list[Any] = [
            "".join("<hole>\n" if row == at else line for row, line in enumerate(lines)),
            CODE.replace("acc", "<hole>", 1).replace("one.age", "one.<hole>", 1),
            [CODE[:20], redraft.Hole(2, 90), CODE[60:]],
            ["x = ", redraft.Hole(1, 6, redraft.Regex("[0-9]{2}")), "\n", CODE],
            CODE[: rng.randrange(3, 30)] + "<hole>" + CODE[rng.randrange(30, 60) :],
        ]
        template = kinds[number % len(kinds)]

        def one(template: Any = template, settings: Any = settings) -> Any:
            return infill_events(model.stream_infill(template, **settings))

        yield Case(f"{name} infill {number}", one)
        if number % 3 == 0:
            typed = template if number % 5 != 3 else kinds[0]
            left = {"method": "typewriter", "instruction": settings.get("instruction")}
            yield Case(
                f"{name} infill typewriter {number}",
                lambda t=typed, s=left: without_seed(infilled(model.infill(t, **s))),
            )
        if number % 2 == 0:
            kept = ("seed", "max_denoising_steps", "max_candidates")
            short = {key: settings[key] for key in kept}
            yield Case(
                f"{name} rewrite {number}",
                lambda s=short: infilled(model.rewrite(CODE, [(17, 28)], "start at 5", **s)),
            )
            yield Case(
                f"{name} insert {number}",
                lambda s=short: infilled(model.insert(CODE, 17, "fill python", **s)),
            )
            yield Case(
                f"{name} repair {number}", lambda n=number, s=short: repairing(model, n, s["seed"])
            )
            yield Case(f"{name} session {number}", lambda s=short: session(model, s))


def repairing(model: Any, number: int, seed: int) -> Any:
    """Return what became of a text with a wrong word."""
    broken = CODE.replace("acc", "one", 1) if number % 4 else CODE.replace("shops:", "acc:", 1)
    found = model.repair(
        broken, instruction=("fill python", None)[number % 2], seed=seed, max_denoising_steps=8
    )
    changes = [[one.at, one.before, one.after, one.score.hex()] for one in found.changes]
    return {"text": found.text, "changes": changes, "steps": found.steps}


def session(model: Any, settings: dict[str, Any]) -> Any:
    """Return the edits of a session, and how much it encoded."""
    editing = model.edit(CODE, instruction="fill python")
    first = editing.insert(17, hole=redraft.Hole(1, 8), **settings)
    second = editing.rewrite([(17, 28)], "start at 5", **settings)
    editing.undo()
    editing.replace(0, 3, "class")
    third = editing.insert(30, hole=redraft.Hole(1, 4), **settings)
    return {
        "edits": [infilled(edit.filled) for edit in (first, second, third)],
        "encoded": editing.encoded,
    }


DROPPED = ("id", "created", "seconds", "updated", "session", "time_to_first_draft")


def stable(value: Any) -> Any:
    """Return an answer of the server without what differs from call to call."""
    if isinstance(value, dict):
        return {key: stable(one) for key, one in value.items() if key not in DROPPED}
    return [stable(one) for one in value] if isinstance(value, list) else value


def serving(model: Any, rng: random.Random, count: int) -> Iterator[Case]:
    """Yield requests to every route that writes, on one server with a prefix cache."""
    from redraft.server import Settings, create_app

    client: list[TestClient] = []

    def ask(path: str, body: dict[str, Any]) -> Any:
        if not client:
            client.append(
                TestClient(create_app({"m": model}, Settings(prefix_cache=64 << 20))).__enter__()
            )
        answer = client[0].post(path, json={"model": "m", **body})
        if body.get("stream"):
            lines = [line for line in answer.text.split("\n\n") if line.startswith("data: {")]
            return [stable(json.loads(line.removeprefix("data: "))) for line in lines]
        return [answer.status_code, stable(answer.json())]

    messages = [{"role": "user", "content": "fill python"}]
    rewriting = {"text": CODE, "spans": [[17, 28]], "instruction": "start at 5"}
    drafts = {"stream": True, "stream_options": {"include_drafts": True, "include_usage": True}}
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("chat", "/v1/chat/completions", {"messages": messages, "max_tokens": 40, "n": 2}),
        ("chat stream", "/v1/chat/completions", {"messages": messages, "max_tokens": 100} | drafts),
        ("chat logprobs", "/v1/chat/completions", {"messages": messages, "max_tokens": 20, "logprobs": True, "top_logprobs": 3}),
        ("chat typewriter", "/v1/chat/completions", {"messages": messages, "max_tokens": 20, "method": "typewriter", "n": 2}),
        ("chat json", "/v1/chat/completions",
         {"messages": messages, "max_tokens": 60,
          "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}),
        ("chat tools", "/v1/chat/completions",
         {"messages": messages, "max_tokens": 60, "tools": TOOLS, "tool_choice": "required"}),
        ("completion", "/v1/completions", {"prompt": CODE * 4, "max_tokens": 20, "logprobs": 2}),
        ("completion stream", "/v1/completions", {"prompt": CODE, "max_tokens": 40} | drafts),
        ("suffix", "/v1/completions", {"prompt": CODE[:20], "suffix": CODE[40:], "max_tokens": 12}),
        ("infill", "/v1/infill", {"template": CODE.replace("acc", "<hole>", 1), "instruction": "fill python"}),
        ("infill stream", "/v1/infill", {"template": CODE.replace("    acc = 0", "<hole>"), "stream": True}),
        ("edits", "/v1/edits", rewriting),
        ("edits insert", "/v1/edits", {"text": CODE, "spans": [[17, 17]], "kind": "insert", "instruction": "fill python"}),
    ]  # fmt: skip
    for number in range(count):
        name, path, body = kinds[number % len(kinds)]
        settings = {"seed": rng.randrange(1 << 31), **QUICK}
        yield Case(f"server {name} {number}", lambda p=path, b=body | settings: ask(p, b))


def all_cases(folder: Path) -> Iterator[Case]:
    """Yield every case; `folder` takes the checkpoints of tiny random models."""
    small = {name: redraft.load(name, dtype="float32") for name in ("small", "small-text")}
    tiny = {}
    for seed in range(4):
        shape = random_shape(random.Random(seed)) if seed else {}
        shape["canvas_length"] = 16  # odd and small canvases are constrained and filled elsewhere
        tiny[f"tiny-{seed}"] = redraft.load(tiny_checkpoint(folder / str(seed), seed, **shape))
    rng = random.Random(20)
    for name, model in (small | tiny).items():
        yield from generating(name, model, rng, 24)
    yield from generating("small-text bfloat16", redraft.load("small-text"), rng, 6)
    for name in ("small-text", "tiny-0", "tiny-1"):
        yield from constraining(name, (small | tiny)[name], rng, 16)
    for name, count in (("small-text", 24), ("tiny-0", 10)):
        yield from filling(name, (small | tiny)[name], rng, count)
    yield from filling("small-text bfloat16", redraft.load("small-text"), rng, 4)
    yield from serving(small["small-text"], rng, 39)
