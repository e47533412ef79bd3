"""Memory budget: who may run, by the memory that it holds beside the weights."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain

import torch

from redraft.engine.image_encoder import ImageEncoder
from redraft.engine.prefix_cache import PrefixCache
from redraft.errors import MemoryLimitError
from redraft.network import PREFILL_CHUNK
from redraft.network.memory_estimate import GIB, USABLE, estimate_memory, free_memory

# Bytes of inference that a request has uncounted: most constraints reach few of their edges.
UNCOUNTED_INFERENCE = 128 << 20


@dataclass(frozen=True)
class Share:
    """Memory of one request: rows of a pass, and caches of so many tokens each.

    Attributes:
        images: soft tokens of each of its images. inference: bytes that the inference of its
            constraints holds at most, beside the processor's memory that every request may have.
    """

    rows: int
    caches: int
    tokens: int
    images: tuple[int, ...] = ()
    inference: int = 0

    @property
    def counted_inference(self) -> int:
        """The bytes of its inference that are counted."""
        return max(0, self.inference - UNCOUNTED_INFERENCE)


class Memory:
    """Counts the memory of running requests against a limit.

    The prefix cache gives way to requests. A request that was refused goes before all that come
    later, so that small requests cannot keep a large one waiting.

    Args:
        limit: bytes for caches and passes; None for no limit.
        images: the image encoder, which keeps soft tokens; None for a model that has none.
    """

    def __init__(
        self,
        prefixes: PrefixCache,
        limit: int | None = None,
        images: ImageEncoder | None = None,
    ) -> None:
        self.prefixes = prefixes
        self.images = images
        self.limit = limit
        self._held: dict[int, Share] = {}
        self._refused: dict[int, None] = {}  # who waits for memory, in the order of their coming

    def spare_share(self, places: int) -> Share | None:
        """Return the share that stays free for one more request: an equal one of so many places,
        and room for a canvas at least; None where two such do not fit into the limit."""
        if self.limit is None:
            return None
        canvas = self.prefixes.model.config.canvas_length
        tokens = max(canvas, self.tokens_within(self.limit // places))
        spare = Share(rows=1, caches=1, tokens=tokens)
        return spare if self.needed([spare, spare]) <= self.limit else None

    def fits(self, share: Share, spare: Share | None = None) -> bool:
        """Return True where a request that runs alone has its memory, and leaves the spare one; who
        needs no more than that need not leave it."""
        if self.limit is None:
            return True
        if spare is None or not self.larger(share, spare):
            return self.needed([share]) <= self.limit
        return self.needed([share, spare]) <= self.limit

    def larger(self, share: Share, other: Share) -> bool:
        """Return True where a share is more memory than another."""
        return self.needed([share]) > self.needed([other])

    def check(self, share: Share, spare: Share | None = None) -> None:
        """Check that there could be memory for a request.

        Args:
            spare: share that it has to leave for others.

        Raises:
            MemoryLimitError: it needs more than the limit, even running alone, or does not leave
                the spare share.
        """
        if self.fits(share, spare):
            return
        assert self.limit is not None
        needed, left = self.needed([share]), ""
        if needed <= self.limit and spare is not None:
            left = f", of which the share of another request ({spare.tokens} tokens) stays free"
        constraint = ""
        if counted := share.counted_inference:
            constraint = f", its constraint {counted / GIB:.2f}: lower its bounds"
        raise MemoryLimitError(
            f"the request needs {needed / GIB:.2f} GiB beside the weights ({share.rows} x "
            f"{share.tokens} tokens{constraint}), and the limit is {self.limit / GIB:.2f}{left}: "
            "shorten the prompt or lower max_new_tokens"
        )

    def take(
        self, key: int, share: Share, *, spare: Share | None = None, waits: bool = True
    ) -> bool:
        """Return True and count the request where there is memory beside those that run.

        False where there is not, or where another was refused before it. A refused request asks
        again, or is released.

        Args:
            spare: share that it has to leave for others.
            waits: it is counted as refused. False: it has no turn to lose, and others pass it.
        """
        if self.limit is not None:
            its_turn = next(iter(self._refused), key) == key
            held = [*self._held.values(), share]
            needed = self.needed(held) if its_turn else 0
            left = held if spare is None else [*held, spare]
            if not its_turn or self.needed(left) > self.limit:
                if waits:
                    self._refused[key] = None
                return False
            self._leave(self.limit - needed)
        self._refused.pop(key, None)
        self._held[key] = share
        return True

    @property
    def first_refused(self) -> int | None:
        """The request that waits for memory, and goes before all others; None where none does."""
        return next(iter(self._refused), None)

    def release(self, key: int) -> None:
        """Give back the memory of a request that has ended, or will not run."""
        self._refused.pop(key, None)
        if self._held.pop(key, None) and self.limit is not None:
            self._leave(self.limit - self.needed(self._held.values()))

    def _leave(self, spare: int) -> None:
        """Leave bytes that no request needs to what is kept for later."""
        if self.images is not None:
            self.images.allow(spare // 4)
            spare -= self.images.allowed
        self.prefixes.allow(spare)

    def tokens_within(self, limit: int) -> int:
        """Return how many tokens of prompt and text one generation may have within `limit` bytes.

        They are at most as many as the context holds.
        """

        def too_large(tokens: int) -> bool:
            return self.needed([Share(rows=1, caches=1, tokens=tokens)]) > limit

        longest = self.prefixes.model.config.max_position_embeddings
        return bisect_left(range(1, longest + 1), True, key=too_large)

    def needed(self, held: Collection[Share]) -> int:
        """Return the bytes of all caches, and of one pass over all rows; with images also their
        soft tokens, and the image encoder's pass over the largest.

        Passes over some of the rows take less.
        """
        model = self.prefixes.model
        config, itemsize = model.config, model.dtype.itemsize
        # Inference runs on the processor: beside a GPU it takes none of its memory.
        on_host = model.device.type == "cpu"
        kv = sum(share.counted_inference for share in held) * on_host
        kv += sum(
            estimate_memory(
                config, itemsize=itemsize, context=share.tokens, batch=share.caches
            ).kv_cache
            for share in held
        )
        rows, longest = (
            sum(share.rows for share in held),
            max((share.tokens for share in held), default=0),
        )
        images = list(chain.from_iterable(share.images for share in held))
        # An image is read in one pass: it may take the pass beyond the usual limit.
        all_at_once = estimate_memory(
            config,
            itemsize=itemsize,
            context=longest,
            batch=rows,
            prefill_chunk=PREFILL_CHUNK + max(images, default=0),
            device=model.device,
        )
        # The inputs and the update of rows with an adapter.
        chunk = PREFILL_CHUNK + max(images, default=0)
        updated = (rows * config.canvas_length + min(chunk, longest)) * model.adapter_width
        text = all_at_once.activations + all_at_once.vocabulary + updated * itemsize
        if self.images is None or not images:
            return kv + text
        kept = sum(images) * config.hidden_size * itemsize
        # The two networks take turns.
        return kv + kept + max(text, self.images.pass_bytes(max(images)))


def usable_memory(device: torch.device) -> int:
    """Return the bytes that a limit may take on a device now: nearly all that is free."""
    return int(free_memory(device) * USABLE)
