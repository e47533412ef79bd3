"""Predictor-corrector sampler for uniform noise: psi-samplers, which generalise ReMDM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.config.check import check_integer, check_number
from redraft.diffusion.canvas import Canvas
from redraft.diffusion.samplers.progress import progress
from redraft.diffusion.samplers.settings import column
from redraft.diffusion.step import DenoisingStep, ScheduledStep
from redraft.ops.vocabulary import VocabularyStatistics


@dataclass(frozen=True)
class PredictorCorrectorSampler:
    """Draw the next canvas from a mixture of the reverse posterior and the forward marginal.

    Source: "The Diffusion Duality, Chapter II", arXiv 2602.21185, equation of the psi-posterior;
    with masks in place of uniform noise it is ReMDM, arXiv 2503.00307. With noise levels t > s of
    this canvas and the next, the canvas's token z, the network's sample x and V tokens:

        psi(. | x, z)   = kappa q_s|t(. | z, x) + (1 - kappa) q_s(. | x)
        q_s(. | x)      = alpha_s [x] + (1 - alpha_s) / V
        q_s|t(. | z, x) = ( V alpha_t [z = x] [z] + (r - alpha_t) [z] + (alpha_s - alpha_t) [x]
                            + (1 - r) (1 - alpha_s) / V ) / ( V alpha_t [z = x] + 1 - alpha_t )

    where r = alpha_t / alpha_s and [z] has all mass on z.

    Training replaces each token with probability t, so alpha_t = 1 - t; t falls linearly from 1 to
    0 in N steps. The paper puts the network's mean in place of x. Here x is
    a draw, which gives the exact mean over x of the network's distribution, because this network
    predicts the clean token given the whole noisy canvas. It also needs no distribution over the
    vocabulary.

    Attributes:
        kappa: share of the predictor, in [0, 1]: 1 is ancestral sampling, 0 draws every position
            anew at each step.
        eta: where given, it replaces kappa by that of ReMDM's capped schedule at each step:
            sigma = min(eta, (1 - alpha_s) / alpha_t), kappa = 1 - sigma / (1 - alpha_s).
        steps: N; None for `max_denoising_steps`. From step N on all positions take the sample.
    """

    kappa: float = 0.95
    eta: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        check_number("kappa", self.kappa, minimum=0, maximum=1)
        if self.eta is not None:
            check_number("eta", self.eta, minimum=0, maximum=1)
        if self.steps is not None:
            check_integer("steps", self.steps, minimum=1)

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
    ) -> DenoisingStep:
        alpha_t, alpha_s = noise_levels(*progress(step, self.steps))
        predicts, chooses = step.draw(1)[0], step.draw(2)[0]
        keep, sample = posterior(statistics.sample == canvas.tokens, alpha_t, alpha_s, step)
        is_predictor = predicts < self._kappa(alpha_t, alpha_s)
        # The corrector draws from q_s(. | x): the sample with probability alpha_s, never z as such.
        keep = torch.where(is_predictor, keep, 0.0)
        sample = torch.where(is_predictor, sample, alpha_s)
        tokens = torch.where(chooses < keep + sample, statistics.sample, step.fresh)
        tokens = torch.where(chooses < keep, canvas.tokens, tokens)
        return DenoisingStep.of(statistics, canvas, tokens, tokens == statistics.sample)

    def _kappa(self, alpha_t: Tensor, alpha_s: Tensor) -> Tensor:
        """Return the predictor's share, float64 [B, 1] or [1, 1]."""
        if self.eta is None:
            return column(self.kappa, like=alpha_t)
        noise_left = (1 - alpha_s).clamp_min(torch.finfo(alpha_s.dtype).tiny)
        cap = torch.where(alpha_t > 0, (1 - alpha_s) / alpha_t.clamp_min(1e-300), self.eta)
        # At the last step alpha_s is 1: predictor and corrector are then the same, the sample.
        return (1 - cap.clamp_max(self.eta) / noise_left).clamp(0.0, 1.0)


def noise_levels(number: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """Return alpha_t of the canvas that was read and alpha_s of the next, float64 [B, 1].

    `number` and `limit` are n and N, int64 [B].
    """
    return ((number - 1) / limit.double())[:, None], (number / limit.double())[:, None]


def posterior(
    same: Tensor, alpha_t: Tensor, alpha_s: Tensor, step: ScheduledStep
) -> tuple[Tensor, Tensor]:
    """Return the posterior's mass on the canvas's own token and on the sample, float64 [B, L].

    The rest is uniform over the vocabulary. Where both tokens are the `same` (bool [B, L]), all of
    their mass is the sample's.
    """
    ratio = alpha_t / alpha_s
    keep, sample = ratio - alpha_t, alpha_s - alpha_t
    # Two tokens that differ share 1 - alpha_t; one token that explains both also has V alpha_t.
    agreement = step.vocab_size * alpha_t
    together = (agreement + keep + sample) / (agreement + 1 - alpha_t)
    # At the first step alpha_t is 0; later alpha_t is below 1, so that nothing is divided by 0.
    apart = 1 - alpha_t
    return torch.where(same, 0.0, keep / apart), torch.where(same, together, sample / apart)
