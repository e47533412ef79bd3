"""Training a DiffusionGemma: corruption, loss, optimizer, loop. Never imports the engine."""

from redraft.train.batch import Batch, make_batch
from redraft.train.loss import Losses, losses
from redraft.train.recipe import Recipe
from redraft.train.trainer import Trainer

__all__ = ["Batch", "Losses", "Recipe", "Trainer", "losses", "make_batch"]
