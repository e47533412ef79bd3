"""The run that the playground opens with: `python docs/recording.py` writes it into web/src/canvas.

Times are those of one processor core (CPU time), so that a busy machine records the same run.
The noise of the first canvas stands before its first step, as step 0.
"""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import redraft
from redraft.diffusion import Noise
from redraft.events import Committed, Draft, Event, Finished
from redraft.server.openai.stream import ChoiceStream

MODEL, PROMPT, SEED = "small-text", "wiki Cordunia (story)", 1
# A smaller bound than usual takes more steps: there is more to see.
SETTINGS: Any = {"entropy_bound": 0.01}
TARGET = Path(__file__).parent.parent / "web" / "src" / "canvas" / "recording.json"


def main() -> None:
    """Write the run, both ways of writing."""
    torch.set_num_threads(1)
    model = redraft.load(MODEL, dtype="float32")
    messages: Any = [{"role": "user", "content": PROMPT}]
    for _ in model.stream(messages=messages, max_new_tokens=4, seed=SEED):
        pass  # what is done once is not recorded
    drafts, diffusion = _diffusion(model, messages)
    trace = {
        "format": "redraft-trace",
        "version": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": MODEL,
        "prompt": PROMPT,
        "mode": "chat",
        "settings": SETTINGS,
        "drafts": drafts,
        "diffusion": diffusion,
        "typewriter": _lane(model, messages),
    }
    TARGET.write_text(json.dumps(trace, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{TARGET}: {len(drafts)} drafts, {TARGET.stat().st_size} bytes")


def _diffusion(model: redraft.Model, messages: Any) -> tuple[list[Any], dict[str, Any]]:
    stream = ChoiceStream(model.tokenizer)
    drafts: list[Any] = [_noise(model)]
    events: list[Any] = []
    ended, usage = 0.0, None
    began = time.process_time()
    for event in model.stream(messages=messages, seed=SEED, **SETTINGS):
        at = _milliseconds(began)
        match event:
            case Draft():
                drafts.append({"index": 0, "at": at} | stream.draft(event))
            case Committed():
                events.append({"at": at, "text": event.text})
            case Finished():
                ended, usage = at, _usage(event, at)
    return drafts, {"events": events, "usage": usage, "ended": ended}


def _noise(model: redraft.Model) -> dict[str, Any]:
    """Return the canvas before the first step: random tokens, of which none is sure."""
    length = model.config.canvas_length
    noise = Noise.of([(SEED, 0, 0)], torch.device("cpu"))
    tokens = noise.initial(length, model.config.vocab_size)[0].tolist()
    assert model.tokenizer is not None
    spelled = [model.tokenizer.decode([token], special=True) for token in tokens]
    return {
        "index": 0,
        "at": 0,
        "canvas": 0,
        "step": 0,
        "changed": [[at, text] for at, text in enumerate(spelled)],
        "accepted": [],
        "revised": [],
        "confidence": [0] * length,
        "entropy": round(math.log(model.config.vocab_size), 4),  # of a uniform draw, nats
        "text": "".join(spelled),
    }


def _lane(model: redraft.Model, messages: Any) -> dict[str, Any]:
    events: list[Any] = []
    ended, usage = 0.0, None
    began = time.process_time()
    for event in model.stream(messages=messages, seed=SEED, method="autoregressive"):
        at = _milliseconds(began)
        if isinstance(event, Committed):
            events.append({"at": at, "text": event.text})
        elif isinstance(event, Finished):
            ended, usage = at, _usage(event, at)
    return {"events": events, "usage": usage, "ended": ended}


def _usage(finished: Event, milliseconds: float) -> dict[str, Any]:
    assert isinstance(finished, Finished)
    figures = finished.statistics
    return {
        "prompt_tokens": figures.prompt_tokens,
        "completion_tokens": figures.new_tokens,
        "total_tokens": figures.prompt_tokens + figures.new_tokens,
        "steps": [list(figures.steps_per_canvas)],
        "tokens_per_forward": figures.tokens_per_forward,
        "seconds": milliseconds / 1000,
    }


def _milliseconds(began: float) -> float:
    return round(1000 * (time.process_time() - began), 1)


if __name__ == "__main__":
    main()
