"""Shards: the weights of a training, divided among all its processes (FSDP2, `fully_shard`).

A layer's weights are whole while it runs, in all processes at once; between its passes each process
holds its part of them, of their gradients and of the optimizer's state. Quantized weights do not
change and are no parameters: they stay whole in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from redraft.adapters import adapters_of
from redraft.adapters.attach import shared_copy
from redraft.network import DiffusionGemma
from redraft.network.layers import Layer
from redraft.train.context import KeyValue, run_layer
from redraft.train.finetune.objective import CanvasBatch, CanvasLosses, canvas_losses
from redraft.train.forward import ForwardPasses
from redraft.train.parallel import world_size


class LayerPass(nn.Module):
    """A layer as a function of tensors alone, so that its weights are whole where any of them has
    a gradient: keys and values have one too, beside the states."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *given: Any) -> tuple[Tensor, KeyValue]:
        return run_layer(self.layer, *given)


class Shards(nn.Module):
    """The weights of a network, divided among all processes.

    The network itself is no part of it: code that is not this training, such as an engine, runs the
    network's own modules, which wait for nobody. It needs `whole`.

    Args:
        network: its parameters are divided, in place.
    """

    def __init__(self, network: DiffusionGemma) -> None:
        super().__init__()
        self.layers = nn.ModuleList(LayerPass(layer) for layer in _layers(network))
        self.others = nn.ModuleList([network.embed_tokens, network.norm, network.self_conditioning])
        self._passes = dict(zip(map(id, network.layers), self.layers, strict=True))
        self._lend: Callable[[], DiffusionGemma] = lambda: network  # no part of this module
        mesh = init_device_mesh(network.device.type, (world_size(),))
        for layer in self.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(self, mesh=mesh)

    def run_layer(self, layer: Layer, *given: Any) -> tuple[Tensor, KeyValue]:
        """Run a layer; see `redraft.train.context.run_layer`."""
        found: tuple[Tensor, KeyValue] = self._passes[id(layer)](*given)
        return found

    def forward(
        self, passes: ForwardPasses, batch: CanvasBatch
    ) -> tuple[tuple[Tensor, Tensor], CanvasLosses]:
        """Return the losses of a batch, with the tensors that have a gradient where FSDP2 looks."""
        losses = canvas_losses(passes, batch)
        return (losses.diffusion, losses.encoder), losses

    @contextmanager
    def whole(self) -> Iterator[DiffusionGemma]:
        """Let every process hold all weights within the context; all processes must enter it.

        Yields:
            A network that has them. Where it has no adapter, it is another one over the same
            weights: FSDP2 would divide those of the first again when its state dict is asked for.
        """
        network = self._lend()
        parts = [module for module in self.modules() if isinstance(module, FSDPModule)]
        for part in parts:
            part.unshard()
        try:
            yield network if adapters_of(network) else shared_copy(network)
        finally:
            network.cuda_graphs.clear()  # they read weights that are given back
            for part in parts:
                part.reshard()


def _layers(network: DiffusionGemma) -> Iterator[Layer]:
    for layer in network.layers:
        assert isinstance(layer, Layer)
        yield layer
