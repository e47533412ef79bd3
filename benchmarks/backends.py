"""The backends of a benchmark: redraft, its autoregressive method, its server, transformers.

Each runs in a process of its own, so that none inherits another's settings and each one's memory
can be measured. All get the same weights, prompts and numbers of steps.
"""

from __future__ import annotations

import asyncio
import multiprocessing as mp
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import httpx2
import torch
import uvicorn

from redraft.cli.app import SPIN_COUNT
from redraft.engine.request import Method

PEAK_RESET = Path("/proc/self/clear_refs")
SERVER_BATCH = 8
# Settings with which no canvas settles before its last step.
STABILITY_THRESHOLD = 1000
CONFIDENCE_THRESHOLD = 1e-9
FIXED = {
    "seed": 1,
    "confidence_threshold": CONFIDENCE_THRESHOLD,
    "stability_threshold": STABILITY_THRESHOLD,
}
# Writes behind prompts: so many new tokens (one number for all, or one for each), in so many steps
# a canvas for each.
Generate = Callable[[list[list[int]], Any, list[int]], None]


def redraft_backend(folder: str, dtype: torch.dtype, method: Method = "diffusion") -> Generate:
    """Load a checkpoint in redraft; every row leaves the batch after its own steps."""
    import redraft
    from redraft.engine.request import Request

    model = redraft.load(folder, dtype=dtype, device="cpu")

    def generate(prompts: list[list[int]], count: int, steps: list[int]) -> None:
        requests = []
        for prompt, limit in zip(prompts, steps, strict=True):
            options = {"max_new_tokens": count, "max_denoising_steps": limit, "eos_token_id": ()}
            config = model.generation_config.with_options(FIXED | options)
            requests.append(Request.checked(prompt, config, model.config))
        for event in model.run(requests, method=method, max_batch_size=len(requests)):
            if isinstance(event, redraft.Finished):
                assert len(event.tokens) == count
                if method == "diffusion":
                    assert set(event.statistics.steps_per_canvas) == {steps[event.request]}

    return generate


def autoregressive_backend(folder: str, dtype: torch.dtype) -> Generate:
    """Load the same weights for autoregressive decoding, which has no steps."""
    return redraft_backend(folder, dtype, "autoregressive")


def transformers_backend(folder: str, dtype: torch.dtype) -> Generate:
    """Load a checkpoint in transformers; a batch stays together until its last row is done."""
    from transformers import DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma import generation_diffusion_gemma as generation

    model = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, dtype=dtype).eval()
    # Otherwise the checkpoint's own ids replace the None of a call.
    model.generation_config.eos_token_id = None
    # Weights are mapped from the file: reading them now keeps that out of the measured times.
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()

    @torch.no_grad()
    def generate(prompts: list[list[int]], count: int | list[int], steps: list[int]) -> None:
        longest, count = max(map(len, prompts)), count if isinstance(count, int) else max(count)
        padding = [longest - len(prompt) for prompt in prompts]
        pairs = list(zip(padding, prompts, strict=True))
        ids = torch.tensor([[0] * width + prompt for width, prompt in pairs])
        mask = torch.tensor([[0] * width + [1] * len(prompt) for width, prompt in pairs])
        settings = generation.DiffusionGemmaGenerationConfig(
            max_new_tokens=count,
            max_denoising_steps=max(steps),
            eos_token_id=None,
            pad_token_id=0,
            confidence_threshold=CONFIDENCE_THRESHOLD,
            stability_threshold=STABILITY_THRESHOLD,
            sampler_config=generation.EntropyBoundSamplerConfig(0.1),
        )
        output = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
        assert len(getattr(output, "sequences", output)[0]) >= ids.shape[1] + count

    return generate


def server_backend(folder: str, dtype: torch.dtype) -> Generate:
    """Start redraft's server; a client sends all requests at once, over sockets."""
    import redraft
    from redraft.server import Settings, create_app

    app = create_app(
        {"model": redraft.load(folder, dtype=dtype, device="cpu")},
        Settings(max_batch_size=SERVER_BATCH, max_waiting=1000),
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    threading.Thread(target=server.run, args=([listening],), daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1/completions"

    async def post(client: httpx2.AsyncClient, prompt: list[int], count: int, steps: int) -> None:
        body = FIXED | {"model": "model", "prompt": prompt, "max_tokens": count, "eos_token_id": []}
        body["max_denoising_steps"] = steps
        answer = (await client.post(url, json=body)).json()
        assert answer["usage"]["completion_tokens"] == count
        assert set(answer["usage"]["steps"][0]) == {steps}

    async def post_all(prompts: list[list[int]], counts: list[int], steps: list[int]) -> None:
        async with httpx2.AsyncClient(timeout=3600) as client:
            rows = zip(prompts, counts, steps, strict=True)
            await asyncio.gather(*(post(client, *row) for row in rows))

    return lambda prompts, counts, steps: asyncio.run(post_all(prompts, counts, steps))


BACKENDS: dict[str, Callable[..., Generate]] = {
    "server": server_backend,
    "redraft": redraft_backend,
    "autoregressive": autoregressive_backend,
    "transformers": transformers_backend,
}


class Backend:
    """A backend in its process.

    Attributes:
        loaded: bytes resident once the weights are loaded.
    """

    def __init__(self, name: str, folder: Path, dtype: torch.dtype, threads: int) -> None:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
        context = mp.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, name, str(folder), dtype, threads), daemon=True
        )
        self._process.start()
        theirs.close()
        self.loaded: int = self._pipe.recv()

    def generate(
        self, prompts: Sequence[Sequence[int]], count: int | list[int], steps: Sequence[int]
    ) -> float:
        """Write behind each prompt; return the seconds that it took.

        Args:
            count: new tokens behind each prompt; a list gives each its own.
            steps: denoising steps of a canvas, for each prompt.
        """
        self._pipe.send(([list(prompt) for prompt in prompts], count, list(steps)))
        seconds: float = self._pipe.recv()
        return seconds

    def step(
        self, prompts: Sequence[Sequence[int]], count: int, few: int, more: int
    ) -> tuple[float, float]:
        """Return the seconds of one more denoising step, and those of the run of few steps.

        The first is the difference of a run of `more` steps and a run of `few`, for each step.
        """
        first = self.generate(prompts, count, [few])
        return (self.generate(prompts, count, [more]) - first) / (more - few), first

    def peak(self) -> int:
        """Return the most bytes resident during the last call; without /proc, since the start."""
        self._pipe.send("peak")
        peak: int = self._pipe.recv()
        return peak

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(timeout=10)
        self._process.kill()


def _serve(pipe: Connection, name: str, folder: str, dtype: torch.dtype, threads: int) -> None:
    torch.set_num_threads(threads)
    generate = BACKENDS[name](folder, dtype)
    pipe.send(_memory("VmRSS"))
    while True:
        try:
            message: Any = pipe.recv()
        except EOFError:
            return
        if message == "peak":
            pipe.send(_memory("VmHWM"))
            continue
        if PEAK_RESET.exists():
            PEAK_RESET.write_text("5")
        started = time.perf_counter()
        generate(*message)
        pipe.send(time.perf_counter() - started)


def _memory(name: str) -> int:
    """Return the bytes resident in this process: VmRSS now, VmHWM at the peak.

    Without /proc both are the peak since the start.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (line,) = (line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def random_prompts(rows: int, length: int, vocab_size: int) -> list[list[int]]:
    """Return prompts of random tokens, none of them a special one."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(200, vocab_size, (rows, length), generator=generator).tolist()
