"""redraft: DiffusionGemma as software. `redraft.load(path)` gives a model that writes by diffusion."""

__version__ = "0.1.0"
