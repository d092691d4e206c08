"""What LangevinFlow minimises and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.models.langevinflow.config import LangevinFlowConfig
from neurodyn.models.langevinflow.latents import LangevinNetwork
from neurodyn.windows.masks import coordinated_dropout

__all__ = ["LangevinObjective", "bits_per_spike", "poisson_nll"]

VALIDATION_BATCH = 256


class _Progress(Protocol):
    @property
    def fraction(self) -> float: ...


class _Source(Protocol):
    def __len__(self) -> int: ...

    def gather(self, index: NDArray[np.int64]) -> Mapping[str, Tensor]: ...


class LangevinObjective:
    """The negative ELBO under coordinated dropout, or the published loss.

    Batches hold ``count`` (batch, time, unit) of all units and bins, forward bins last, and
    ``observed``, which broadcasts to it. Held-out units and forward bins are targets only.

    Parameters
    ----------
    config
        Settings of the network.
    held_out
        Which units are only predicted, dims (unit,).
    n_forward
        How many bins at the end are only predicted.

    Raises
    ------
    EmptySelectionError
        If every unit is held out.

    Examples
    --------
    >>> objective = LangevinObjective(LangevinFlowConfig(), held_out=[False, False, True])
    >>> objective.n_inputs
    2
    """

    def __init__(
        self, config: LangevinFlowConfig, held_out: Sequence[bool], n_forward: int = 0
    ) -> None:
        self.config, self.n_forward = config, n_forward
        self.held_out = torch.as_tensor(np.asarray(held_out, dtype=bool))
        self.n_inputs = int((~self.held_out).sum())
        if self.n_inputs == 0:
            raise EmptySelectionError("every unit is held out, so a model has nothing to read")

    def inputs(self, count: Tensor, observed: Tensor) -> Tensor:
        """Return what a network may read: held-in units of bins before the forward ones.

        What is not observed is read as 0. Dims (batch, time, held-in unit).
        """
        held_in = ~self.held_out.to(count.device)
        n_time = count.shape[1] - self.n_forward
        read = count[:, :n_time, held_in]
        return torch.where(observed.expand_as(count)[:, :n_time, held_in], read, 0.0)

    def loss(
        self, network: nn.Module, batch: Mapping[str, Tensor], progress: _Progress
    ) -> dict[str, Tensor]:
        """Return the loss and its parts for one batch.

        ``nll`` and ``divergence`` are nats per trial; the loss of the variational mode is their
        weighted sum per element, which is the negative ELBO up to this scale.
        """
        count = batch["count"]
        observed = batch["observed"].expand_as(count)
        read, weight = self._dropped(count, observed)
        log_count, latents = network(read, self.n_forward)
        element = torch.exp(log_count) - count * log_count
        if self.config.mode == "elbo":
            nll = (weight * element).sum() / len(count)
            divergence = latents.divergence.mean()
            beta = self.config.beta * warm_up(progress.fraction, self.config.beta_warmup)
            loss = (nll + beta * divergence) / element[0].numel()
            return {"loss": loss, "nll": nll.detach(), "divergence": divergence.detach()}
        divergence = latents.divergence.mean()
        return self._published_loss(network, element, weight, observed, divergence, progress)

    def _dropped(self, count: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Drop counts from the input and weight the targets so that none is read and scored."""
        keep_prob = self.config.keep_prob
        read = self.inputs(count, observed)
        weight = observed.to(count.dtype)
        if keep_prob >= 1:
            return read, weight
        read, target = coordinated_dropout(read, keep_prob)
        if self.config.pass_prob > 0:
            target = target | (torch.rand_like(read) < self.config.pass_prob)
        share = 1 - keep_prob * (1 - self.config.pass_prob)
        # The mean weight of an element is 1, so the sum estimates the likelihood of all.
        scale = 1 / share if self.config.mode == "elbo" else 1.0
        # Held-out units and forward bins are always scored: their place is a column of ones.
        scored = functional.pad(target.to(weight.dtype) * scale, (0, 1), value=1.0)
        column = torch.where(self.held_out, self.n_inputs, (~self.held_out).cumsum(0) - 1)
        scored = scored.index_select(-1, column.to(count.device))
        scored = functional.pad(scored, (0, 0, 0, self.n_forward), value=1.0)
        return read, weight * scored

    def _published_loss(
        self,
        network: nn.Module,
        element: Tensor,
        weight: Tensor,
        observed: Tensor,
        divergence: Tensor,
        progress: _Progress,
    ) -> dict[str, Tensor]:
        # Blocked elements count in the value of the loss and not in its gradient.
        blocked = weight * element + ((1 - weight) * element).detach()
        n_observed = observed.sum().clamp(min=1)
        nll = torch.where(observed, blocked, 0.0).sum() / n_observed
        scale = 1.0 if self.config.quirks.mean_likelihood else 1 / element[0].numel()
        ramp = warm_up(progress.fraction, self.config.beta_warmup)
        loss = nll + self.config.beta * ramp * scale * divergence
        if self.config.weight_decay > 0:
            squares = sum(p.square().sum() for p in network.parameters())
            loss = loss + 0.5 * self.config.weight_decay * ramp * squares
        return {"loss": loss, "nll": nll.detach(), "divergence": divergence.detach()}

    @torch.no_grad()
    def validate(self, network: nn.Module, source: _Source) -> dict[str, float]:
        """Score predictions of a source, which is the only thing that is read.

        Returns
        -------
        ``nll``, the mean Poisson negative log-likelihood [nats per element] of all targets;
        where they exist, ``co_bps`` of held-out units and ``fp_bps`` of forward bins.
        """
        parts = list(self._predictions(network, source))
        rate, count, observed = (torch.cat(column).double() for column in zip(*parts))
        observed = observed.bool()
        n_time = count.shape[1] - self.n_forward
        scores = {"nll": float(poisson_nll(rate, count)[observed].mean())}
        held_out = self.held_out.to(count.device)
        if held_out.any():
            chosen = (slice(None), slice(n_time), held_out)
            scores["co_bps"] = bits_per_spike(rate[chosen], count[chosen], observed[chosen])
        if self.n_forward:
            beyond = (slice(None), slice(n_time, None))
            scores["fp_bps"] = bits_per_spike(rate[beyond], count[beyond], observed[beyond])
        return scores

    def _predictions(
        self, network: nn.Module, source: _Source
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for start in range(0, len(source), VALIDATION_BATCH):
            index = np.arange(start, min(start + VALIDATION_BATCH, len(source)), dtype=np.int64)
            batch, model = source.gather(index), _bare(network)
            count = batch["count"].to(next(model.parameters()).device)
            observed = batch["observed"].to(count.device).expand_as(count)
            noise = torch.Generator(count.device).manual_seed(start)
            rate = model.predict(self.inputs(count, observed), self.n_forward, generator=noise)
            if self.config.mode == "ccn2025" and self.config.quirks.validation_keep < 1:
                count = self._thinned(count, noise)
            yield rate, count, observed

    def _thinned(self, count: Tensor, generator: torch.Generator) -> Tensor:
        """Blank targets that a network never reads, as the published validation does."""
        keep = self.config.quirks.validation_keep
        chosen = torch.rand(count.shape, generator=generator, device=count.device) < keep
        only_target = self.held_out.to(count.device).expand(count.shape[1], -1).clone()
        only_target[count.shape[1] - self.n_forward :] = True
        return torch.where(only_target, count * chosen / keep, count)


def warm_up(fraction: float, share: float) -> float:
    """Return a weight that grows linearly from 0 to 1 over the first ``share`` of training.

    Examples
    --------
    >>> warm_up(0.1, 0.2), warm_up(0.5, 0.2), warm_up(0.0, 0.0)
    (0.5, 1.0, 1.0)
    """
    return 1.0 if share <= 0 else min(1.0, fraction / share)


def poisson_nll(expected_count: Tensor, count: Tensor) -> Tensor:
    """Return the Poisson negative log-likelihood [nats], element by element."""
    rate = expected_count.clamp_min(1e-9)
    return rate - count * torch.log(rate) + torch.lgamma(count + 1)


def bits_per_spike(expected_count: Tensor, count: Tensor, observed: Tensor) -> float:
    """Return the gain over each unit's mean of the scored counts [bits per spike].

    The score of the Neural Latents Benchmark; all arguments have dims (trial, time, unit).

    Examples
    --------
    >>> count = torch.tensor([[[0.0], [2.0]]])
    >>> bits_per_spike(torch.ones(1, 2, 1), count, torch.ones(1, 2, 1, dtype=torch.bool))
    0.0
    """
    weight = observed.to(count.dtype)
    n_seen = weight.sum((0, 1)).clamp_min(1)
    mean = ((weight * count).sum((0, 1)) / n_seen).expand_as(count)
    gain = weight * (poisson_nll(mean, count) - poisson_nll(expected_count, count))
    n_spikes = float((weight * count).sum())
    return float(gain.sum()) / (n_spikes * math.log(2)) if n_spikes else math.nan


def _bare(network: nn.Module) -> LangevinNetwork:
    """Return the network itself, without the wrappers of training."""
    inner: object = network
    while not isinstance(inner, LangevinNetwork) and hasattr(inner, "module"):
        inner = inner.module
    if not isinstance(inner, LangevinNetwork):
        raise ConfigError("not a LangevinFlow network", found=type(network).__name__)
    return inner
