"""What LangevinFlow minimises and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.kernels.coordinated_dropout import dropped_input
from neurodyn.kernels.poisson_nll import poisson_nll as summed_nll
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
        self._read_units = (~self.held_out).nonzero().squeeze(1)
        self.n_inputs = len(self._read_units)
        # Where each unit finds its weight; held-out ones behind the last that is read.
        self._column = torch.where(self.held_out, self.n_inputs, (~self.held_out).cumsum(0) - 1)
        if self.n_inputs == 0:
            raise EmptySelectionError("every unit is held out, so a model has nothing to read")

    def inputs(self, count: Tensor, observed: Tensor) -> Tensor:
        """Return what a network may read: held-in units of bins before the forward ones.

        What is not observed is read as 0. Dims (batch, time, held-in unit).
        """
        return torch.where(self._held_in(_once(observed)), self._held_in(count), 0.0)

    def _held_in(self, tensor: Tensor) -> Tensor:
        """Return the part of (batch, time, unit) that is read; dims of size 1 stay."""
        if tensor.shape[1] > 1:
            tensor = tensor[:, : tensor.shape[1] - self.n_forward]
        if tensor.shape[2] > 1:
            tensor = tensor.index_select(2, self._read_units.to(tensor.device))
        return tensor

    def loss(
        self, network: nn.Module, batch: Mapping[str, Tensor], progress: _Progress
    ) -> dict[str, Tensor]:
        """Return the loss and its parts for one batch.

        ``nll`` and ``divergence`` are nats per trial; the loss of the variational mode is their
        weighted sum per element, which is the negative ELBO up to this scale.
        """
        count, observed = batch["count"], _once(batch["observed"])
        if self.config.mode == "ccn2025":
            return self._published_loss(network, count, observed, progress)
        seeded = count.is_cuda and self.config.keep_prob < 1
        read, scored = (self._seeded if seeded else self._weighted)(count, observed)
        log_count, latents = network(read, self.n_forward)
        nll, _ = summed_nll(log_count[None], count, statistics=False, **scored)
        mean_nll, divergence = nll.squeeze(0), latents.divergence.mean()
        beta = self.config.beta * warm_up(progress.fraction, self.config.beta_warmup)
        per_trial = count[0].numel()
        loss = mean_nll + beta / per_trial * divergence
        nll = mean_nll.detach() * per_trial
        return {"loss": loss, "nll": nll, "divergence": divergence.detach()}

    def _seeded(self, count: Tensor, observed: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Draw a seed, from which input and likelihood make the same mask, each on its way."""
        seed = torch.randint(2**62, (1,), device=count.device)
        told: dict[str, Any] = {
            "keep_prob": self.config.keep_prob,
            "observed": observed,
            "n_read_time": count.shape[1] - self.n_forward,
        }
        units = self._read_units.to(count.device)
        read = dropped_input(count, seed, units=units, dtype=count.dtype, **told)
        told |= {"pass_prob": self.config.pass_prob, "held_out": self.held_out.to(count.device)}
        weight = count.new_full((1,), 1 / count.numel())
        return read.squeeze(0), {"seed": seed, "weight": weight, **told}

    def _weighted(self, count: Tensor, observed: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Draw a mask, and weight elements by it; the mean loss is the sum of what is weighted."""
        read, weight = self._dropped(count, observed, 1 / count.numel())
        return read, {"weight": weight}

    def _dropped(self, count: Tensor, observed: Tensor, unit: float = 1.0) -> tuple[Tensor, Tensor]:
        """Drop counts from the input and weight the targets so that none is read and scored.

        Weights are multiples of ``unit``; those of the variational mode have it as their mean.
        """
        keep_prob = self.config.keep_prob
        read = self.inputs(count, observed)
        weight = observed.to(count.dtype)
        if keep_prob >= 1:
            return read, weight * unit
        read, target = coordinated_dropout(read, keep_prob)
        if self.config.pass_prob > 0:
            target = target | (torch.rand_like(read) < self.config.pass_prob)
        share = 1 - keep_prob * (1 - self.config.pass_prob)
        # The sum estimates the likelihood of all.
        scale = 1 / share if self.config.mode == "elbo" else 1.0
        # Held-out units and forward bins are always scored: their place is a column of units.
        scored = functional.pad(target.to(weight.dtype) * (scale * unit), (0, 1), value=unit)
        scored = scored.index_select(-1, self._column.to(count.device))
        scored = functional.pad(scored, (0, 0, 0, self.n_forward), value=unit)
        return read, weight * scored

    def _published_loss(
        self, network: nn.Module, count: Tensor, observed: Tensor, progress: _Progress
    ) -> dict[str, Tensor]:
        read, weight = self._dropped(count, observed)
        log_count, latents = network(read, self.n_forward)
        element, divergence = torch.exp(log_count) - count * log_count, latents.divergence.mean()
        observed = observed.expand_as(count)
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


def _once(observed: Tensor) -> Tensor:
    """Return a mask without the dims along which it only repeats: they get size 1."""
    repeats = (slice(1) if step == 0 else slice(None) for step in observed.stride())
    return observed[tuple(repeats)]


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
