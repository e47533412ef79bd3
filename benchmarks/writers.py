"""Who writes in a benchmark: redraft, its typewriter, the reference.

Each in a process of its own, so that none runs under another's settings and each one's memory is
its own; all on the same weights, prompts and numbers of steps.
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

RESET = Path("/proc/self/clear_refs")
NEVER = 1000  # steps that a canvas must stay the same for
SERVED = 8  # rows of the server's batch
UNSETTLED = 1e-9  # an entropy below which no canvas gets: steps are what they are told to be
Write = Callable[
    [list[list[int]], Any, list[int]], None
]  # prompts, new tokens (of each, where they differ), steps of each


def redraft_writer(folder: str, dtype: torch.dtype, method: str = "diffusion") -> Write:
    """Every row leaves after its own steps."""
    import redraft
    from redraft.engine.request import Request

    model = redraft.load(folder, dtype=dtype, device="cpu")
    fixed = {
        "seed": 1,
        "confidence_threshold": UNSETTLED,
        "stability_threshold": NEVER,
        "eos_token_id": (),
    }

    def write(prompts: list[list[int]], count: int, steps: list[int]) -> None:
        def request(prompt: list[int], most: int) -> Request:
            options = fixed | {"max_new_tokens": count, "max_denoising_steps": most}
            return Request.checked(
                prompt, model.generation_config.with_options(options), model.config
            )

        requests = [request(prompt, most) for prompt, most in zip(prompts, steps, strict=True)]
        for event in model.run(requests, method=method, max_batch_size=len(requests)):  # type: ignore[arg-type]
            if isinstance(event, redraft.Finished):
                taken = set(event.statistics.steps_per_canvas)
                assert len(event.tokens) == count
                assert method == "typewriter" or taken == {steps[event.request]}

    return write


def typewriter_writer(folder: str, dtype: torch.dtype) -> Write:
    """The same weights left to right; steps mean nothing to it."""
    return redraft_writer(folder, dtype, "typewriter")


def transformers_writer(folder: str, dtype: torch.dtype) -> Write:
    """The reference: a batch stays together until its last row is done."""
    from transformers import DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma import generation_diffusion_gemma as generation

    model = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, dtype=dtype).eval()
    model.generation_config.eos_token_id = (
        None  # else the checkpoint's own fills the gap in what a call asks for
    )
    for parameter in (
        model.parameters()
    ):  # read the weights now: they are mapped from the file, and would count as work
        parameter.data = parameter.data.clone()

    @torch.no_grad()
    def write(prompts: list[list[int]], count: int | list[int], steps: list[int]) -> None:
        longest, count = max(map(len, prompts)), count if isinstance(count, int) else max(count)
        ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor(
            [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        )
        settings = generation.DiffusionGemmaGenerationConfig(
            max_new_tokens=count, max_denoising_steps=max(steps), eos_token_id=None, pad_token_id=0,
            confidence_threshold=UNSETTLED, stability_threshold=NEVER,
            sampler_config=generation.EntropyBoundSamplerConfig(0.1),
        )  # fmt: skip
        written = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
        assert len(getattr(written, "sequences", written)[0]) >= ids.shape[1] + count

    return write


def server_writer(folder: str, dtype: torch.dtype) -> Write:
    """redraft's server, asked by a client a request over a socket, all of them at once."""
    import redraft
    from redraft.server import Settings, create_app

    app = create_app(
        {"model": redraft.load(folder, dtype=dtype, device="cpu")},
        Settings(max_batch_size=SERVED, max_waiting=1000),
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    threading.Thread(target=server.run, args=([listening],), daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1/completions"
    fixed = {
        "model": "model",
        "seed": 1,
        "confidence_threshold": UNSETTLED,
        "stability_threshold": NEVER,
        "eos_token_id": [],
    }

    async def ask(client: httpx2.AsyncClient, prompt: list[int], count: int, steps: int) -> None:
        body = fixed | {"prompt": prompt, "max_tokens": count, "max_denoising_steps": steps}
        answer = (await client.post(url, json=body)).json()
        assert answer["usage"]["completion_tokens"] == count
        assert set(answer["usage"]["steps"][0]) == {steps}

    async def ask_all(prompts: list[list[int]], counts: list[int], steps: list[int]) -> None:
        async with httpx2.AsyncClient(timeout=3600) as client:
            await asyncio.gather(
                *(ask(client, *one) for one in zip(prompts, counts, steps, strict=True))
            )

    return lambda prompts, counts, steps: asyncio.run(ask_all(prompts, counts, steps))


WRITERS = {
    "server": server_writer,
    "redraft": redraft_writer,
    "typewriter": typewriter_writer,
    "transformers": transformers_writer,
}


class Writer:
    """One writer in its process.

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

    def write(
        self, prompts: Sequence[Sequence[int]], count: int | list[int], steps: Sequence[int]
    ) -> float:
        """Seconds that writing `count` tokens behind each prompt took (or so many of each), each
        canvas in so many steps."""
        self._pipe.send(([list(prompt) for prompt in prompts], count, list(steps)))
        seconds: float = self._pipe.recv()
        return seconds

    def step(
        self, prompts: Sequence[Sequence[int]], count: int, few: int, more: int
    ) -> tuple[float, float]:
        """Seconds of one more step, from writing in few steps and in more; and seconds of the run
        of few."""
        first = self.write(prompts, count, [few])
        return (self.write(prompts, count, [more]) - first) / (more - few), first

    def peak(self) -> int:
        """Most bytes resident during the last `write` (on systems without /proc: ever)."""
        self._pipe.send("peak")
        most: int = self._pipe.recv()
        return most

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(timeout=10)
        self._process.kill()


def _serve(pipe: Connection, name: str, folder: str, dtype: torch.dtype, threads: int) -> None:
    torch.set_num_threads(threads)
    write = WRITERS[name](folder, dtype)
    pipe.send(_memory("VmRSS"))
    while True:
        try:
            asked: Any = pipe.recv()
        except EOFError:
            return
        if asked == "peak":
            pipe.send(_memory("VmHWM"))
            continue
        if RESET.exists():
            RESET.write_text("5")  # the peak begins anew
        started = time.perf_counter()
        write(*asked)
        pipe.send(time.perf_counter() - started)


def _memory(name: str) -> int:
    """Bytes resident in this process, VmRSS now or VmHWM at most; where there is no /proc, the most
    that there ever were."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (line,) = (line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def prompts(rows: int, length: int, vocab_size: int) -> list[list[int]]:
    """Random prompts of plain tokens."""
    return torch.randint(
        200, vocab_size, (rows, length), generator=torch.Generator().manual_seed(0)
    ).tolist()
