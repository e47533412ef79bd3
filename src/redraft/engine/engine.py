"""Engine: schedule, run, postprocess; one `step` at a time, every row at a step of its own.

requests -> waiting -> encode (prompt) -> denoise, step by step -> commit -> finished
                            ^                                         |
                            +----- encode (canvas) <------------------+

All work goes this way: texts by diffusion and left to right, scores, candidates of a hole.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from redraft.config import ModelConfig
from redraft.config.check import check_integer
from redraft.engine.autoregressive import Autoregressive
from redraft.engine.generation import Generation
from redraft.engine.image_encoder import ImageEncoder
from redraft.engine.memory_budget import Memory
from redraft.engine.prefix_cache import PrefixCache
from redraft.engine.request import Method, Request
from redraft.engine.row import Row
from redraft.engine.runner import Runner
from redraft.engine.scheduler import Scheduler
from redraft.engine.turns import Turns
from redraft.engine.work import Resources, Work, check_adapter
from redraft.errors import ConfigError
from redraft.events import EngineEvent, Failed
from redraft.network import ENCODE_BLOCK, PREFILL_CHUNK, DiffusionGemma
from redraft.network.memory_estimate import active_parameters
from redraft.text import Tokenizer

WRITERS: dict[Method, Callable[[Request], Work]] = {
    "diffusion": Generation,
    "autoregressive": Autoregressive,
}
Failure = tuple[Work, Exception]


# Positions of one request's canvases in a step on a CPU: beyond that, a batch gains little.
RESPONSIVE_POSITIONS = 512
# A CPU infers over one edge while a position passes so many parameters.
PARAMETERS_PER_EDGE = 150
# The inference of one request's constraints in a step takes as long as so many positions. It is not
# done in batches, so it gets less than canvases.
INFERENCE_POSITIONS = 192
# Beside a GPU: some 20 ms, a step of a large model.
CUDA_INFERENCE = 1_000_000


def responsive_positions(device: torch.device) -> int | None:
    """Return the limit of a step with which one request's canvases do not hold up the others.

    A CPU takes twice as long for twice as many; a GPU takes little longer, so it has no limit.
    """
    return None if device.type == "cuda" else RESPONSIVE_POSITIONS


def responsive_inference(device: torch.device, config: ModelConfig) -> int:
    """Return the work of constraints in a step, in edges, with which one request's do not hold up
    the others: as much as takes as long as some positions of a canvas."""
    if device.type == "cuda":
        return CUDA_INFERENCE
    return INFERENCE_POSITIONS * max(1, active_parameters(config) // PARAMETERS_PER_EDGE)


def responsive_chunk(device: torch.device) -> int:
    """Return the prefill chunk with which a long prompt does not hold up the texts beside it.

    A CPU takes as long for a chunk as for so many positions of canvases; a GPU takes the usual one
    in little more time than a canvas.
    """
    return PREFILL_CHUNK if device.type == "cuda" else ENCODE_BLOCK


class Engine:
    """Runs any number of requests; their rows share passes, which they join and leave between
    steps. A request that breaks a step fails alone.

    Args:
        max_batch_size: requests that run at a time at most.
        prefill_chunk: clean tokens encoded between two denoising steps at most.
        group_positions: positions of one group's canvases in a denoising step at most, half of that
            beside other groups; at least one canvas. None for no limit.
        group_inference: work of one group's constraints in a denoising step at most, in edges of
            their DFAs, half of that beside other groups; a longer inference takes several steps of
            the engine. None for no limit.
        prefix_cache: bytes of KV blocks of prompts, kept for prompts with the same prefix.
        memory: bytes for caches and passes, beside the weights; requests wait for their share.
            None sets no limit.
        keeps_share: refuse a request that would not leave an equal share of the memory to another,
            where the memory has room for two. False: it waits its turn, and runs alone.
        images: the image encoder; None for a model that reads text alone.

    Attributes:
        prefixes: the prefix cache. memory: the budget, and who holds how much of it.

    Raises:
        ConfigError: an argument is not a whole number of at least 1 (0 for the cache).
    """

    def __init__(
        self,
        model: DiffusionGemma,
        tokenizer: Tokenizer | None = None,
        *,
        max_batch_size: int = 8,
        prefill_chunk: int = PREFILL_CHUNK,
        group_positions: int | None = None,
        group_inference: int | None = None,
        prefix_cache: int = 0,
        memory: int | None = None,
        keeps_share: bool = False,
        images: ImageEncoder | None = None,
    ) -> None:
        check_integer("max_batch_size", max_batch_size, minimum=1)
        check_integer("prefill_chunk", prefill_chunk, minimum=1)
        check_integer("prefix_cache", prefix_cache, minimum=0)
        if prefix_cache and prefill_chunk % ENCODE_BLOCK:
            raise ConfigError(
                f"{prefill_chunk=} must be a multiple of {ENCODE_BLOCK}: the prefix cache keeps "
                "blocks of that size"
            )
        if memory is not None:
            check_integer("memory", memory, minimum=1)
        if group_positions is not None:
            check_integer("group_positions", group_positions, minimum=1)
        if group_inference is not None:
            check_integer("group_inference", group_inference, minimum=1)
        self.model = model
        self.tokenizer = tokenizer
        self.prefixes = PrefixCache(model, prefix_cache)
        self.memory = Memory(self.prefixes, memory, images)
        self._resources = Resources(self.prefixes, tokenizer, prefill_chunk=prefill_chunk)
        self._scheduler = Scheduler(model, max_batch_size, self.memory)
        self._runner = Runner(model, prefill_chunk, images)
        self._turns = Turns(group_positions, group_inference)
        self._kept = self._scheduler.spare if keeps_share else None
        self._next_number = 0
        self._clock = 0  # steps so far

    def add(
        self,
        request: Request | Work,
        *,
        drafts: bool = True,
        group: int | None = None,
        deadline: float | None = None,
    ) -> int:
        """Queue a request; return the number that its events carry.

        Args:
            drafts: False leaves out Draft events, and the work that they take.
            group: number of the first request of the same group: together they get the part of one
                among those that wait, and of a step. None: a group of its own.
            deadline: time of `time.monotonic`: after the first step that ends behind it, the best
                draft is taken for the result.

        Raises:
            MemoryLimitError: it needs more memory than the limit, even running alone, or leaves no
                share for others where the engine keeps one.
            RequestError: the model has no adapter of the name that it asks for.
        """
        work = WRITERS[request.method](request) if isinstance(request, Request) else request
        check_adapter(self.model, work.adapter)
        self.check_memory(work)
        work.drafts, work.deadline = work.drafts and drafts, deadline
        work.begin(self._next_number, self._resources_of(work))
        work.group = work.number if group is None else group
        self._next_number += 1
        self._scheduler.waiting.append(work)
        return work.number

    def check_memory(self, work: Work) -> None:
        """Check that there could be memory for work; errors as for `add`."""
        self.memory.check(work.share(self.model.config), self._kept)

    def cancel(self, number: int) -> list[EngineEvent]:
        """Stop a request at once; return its closing events.

        A Finished event holds what was committed. Unknown or finished requests have no events, and
        neither has one that writes no text.
        """
        work = self._scheduler.remove(number)
        return work.cancel() if work else []

    @property
    def busy(self) -> bool:
        return bool(self._scheduler)

    @torch.inference_mode()
    def step(self) -> list[EngineEvent]:
        """Schedule, run, postprocess: pending tokens are encoded, every canvas takes a step."""
        events: list[EngineEvent] = []
        for work in self._scheduler.admit():
            events += self._advance(work)
        running = [work for work in self._scheduler.running if work.rows]
        if running:
            self._clock += 1
            for work, error in self._run(running):
                events.append(self._fail(work, error))
            for work in running:
                if not work.ended:
                    events += self._advance(work)
        self._scheduler.retire()
        return events

    def run(self) -> Iterator[EngineEvent]:
        """Step until nothing is left to do."""
        while self.busy:
            yield from self.step()

    def _run(self, works: Sequence[Work]) -> list[Failure]:
        """Run the rows of all work; return what failed. A pass that breaks is taken again, one
        request at a time, so that only the request that broke it fails."""
        try:
            return self._run_together(works)
        except Exception:
            pass  # the handler would keep all that the failed pass held
        failures: list[Failure] = []
        for work in works:
            try:
                failures += self._run_together([work])
            except Exception as error:
                failures.append((work, error))
        return failures

    def _run_together(self, works: Sequence[Work]) -> list[Failure]:
        owners: list[tuple[Row, Work]] = []
        for work in works:
            owners += [(row, work) for row in work.rows if row.result is None]
        groups = {id(row): work.group for row, work in owners}
        plan = self._runner.plan([row for row, _ in owners], self._clock, groups)
        ready = [(row, groups[id(row)]) for row in plan.canvases]
        chosen = self._turns.choose(ready, self._clock)
        plan.canvases, plan.apart = chosen.together, chosen.apart
        self._runner.run(plan)
        failed = {id(row): error for row, error in plan.failed}
        return [(work, failed[id(row)]) for row, work in owners if id(row) in failed]

    def _advance(self, work: Work) -> list[EngineEvent]:
        """Let a request take in its results; return its events."""
        try:
            return work.advance(self._resources_of(work))
        except Exception as error:
            return [self._fail(work, error)]

    def _resources_of(self, work: Work) -> Resources:
        if work.adapter is None:
            return self._resources
        return replace(self._resources, adapter=work.adapter)

    def _fail(self, work: Work, error: Exception) -> Failed:
        """Let a request out, and nothing of it stay behind."""
        traceback.clear_frames(error.__traceback__)
        error.__context__ = None
        self._scheduler.remove(work.number)
        work.cancel()
        return Failed(request=work.number, error=error)
