"""Facts of models in Ollama's words."""

from __future__ import annotations

import hashlib
import json

from redraft.config import ModelConfig
from redraft.server.json_object import JsonObject
from redraft.server.ollama.schemas import LATEST
from redraft.server.runtime.registry import HostedModel

ARCHITECTURE = "diffusion-gemma"


def listed(hosted: HostedModel, when: str) -> JsonObject:
    """Return a model as /api/tags lists it.

    Args:
        when: since when it is here.
    """
    name = hosted.name + LATEST
    return {
        "name": name,
        "model": name,
        "modified_at": when,
        "size": sum(tensor.nbytes for tensor in hosted.model.network.parameters()),
        "digest": digest(hosted.name, hosted.model.config),
        "details": details(hosted),
    }


def shown(hosted: HostedModel, when: str) -> JsonObject:
    """Return a model as /api/show describes it."""
    model, config = hosted.model, hosted.model.config
    template = (model.chat_template.source or "") if model.chat_template else ""
    settings = model.generation_config.to_dict()
    info = {
        "general.architecture": ARCHITECTURE,
        "general.parameter_count": count(hosted),
        f"{ARCHITECTURE}.context_length": config.max_position_embeddings,
        f"{ARCHITECTURE}.embedding_length": config.hidden_size,
        f"{ARCHITECTURE}.block_count": config.num_hidden_layers,
        f"{ARCHITECTURE}.canvas_length": config.canvas_length,
    }
    capabilities = ["completion", "insert"]
    # A template says by its variables what it can render.
    capabilities += ["tools"] if "tools" in template else []
    capabilities += ["thinking"] if "enable_thinking" in template else []
    return {
        "modelfile": "",
        "parameters": "\n".join(f"{name} {value}" for name, value in settings.items()),
        "template": template,
        "details": details(hosted),
        "model_info": info,
        "capabilities": capabilities,
        "modified_at": when,
    }


def details(hosted: HostedModel) -> JsonObject:
    """Return the kind and the size of a model."""
    return {
        "parent_model": "",
        "format": "safetensors",
        "family": ARCHITECTURE,
        "families": [ARCHITECTURE],
        "parameter_size": f"{count(hosted) / 1e9:.1f}B",
        "quantization_level": str(hosted.model.network.dtype).removeprefix("torch."),
    }


def count(hosted: HostedModel) -> int:
    """Return the number of a model's weights; those that are packed count as they lie."""
    return sum(tensor.numel() for tensor in hosted.model.network.parameters())


def digest(name: str, config: ModelConfig) -> str:
    """Return a digest of a model's name and shape: weights are not read for it."""
    plain = json.dumps([name, repr(config)])
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()
