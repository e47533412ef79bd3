"""Training a DiffusionGemma: corruption, loss, optimizer, loop. Never imports the engine."""

from redraft.train.batch import Batch, make_batch
from redraft.train.loss import Losses, losses

__all__ = ["Batch", "Losses", "losses", "make_batch"]
