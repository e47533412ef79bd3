"""redraft as the model `redraft` of the LM Evaluation Harness, registered by an import."""

from lm_eval_redraft.model import RedraftLM

__all__ = ["RedraftLM"]
