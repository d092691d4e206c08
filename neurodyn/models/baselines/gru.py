"""A bidirectional GRU autoencoder with coordinated dropout: LangevinFlow without the dynamics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurodyn.errors import ConfigError
from neurodyn.metrics.spikes import bits_per_spike
from neurodyn.models.context import DataContext
from neurodyn.models.torch_estimator import TorchEstimator
from neurodyn.training import Batch, Objective, Progress, Source, TrainingConfig
from neurodyn.windows.masks import coordinated_dropout

__all__ = [
    "GRUAutoencoder",
    "GRUConfig",
    "GRUNetwork",
    "ReconstructionObjective",
    "matched_to",
    "n_gru_parameters",
]

VALIDATED_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class GRUConfig:
    """Settings of :class:`GRUAutoencoder`.

    Parameters
    ----------
    hidden_size
        Hidden units per direction.
    keep_prob
        Share of the input counts that coordinated dropout keeps; 1 turns it off.
    dropout
        Dropout of the hidden states before the readout.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> GRUConfig(hidden_size=32).keep_prob
    0.3
    """

    hidden_size: int = 64
    keep_prob: float = 0.3
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if self.hidden_size < 1 or not 0 < self.keep_prob <= 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                "hidden_size must be positive, keep_prob in (0, 1], dropout in [0, 1)",
                found=f"hidden_size={self.hidden_size}, keep_prob={self.keep_prob},"
                f" dropout={self.dropout}",
            )


class GRUOutput(NamedTuple):
    """``log_expected_count (batch, time, unit)`` and ``hidden (batch, time, factor)``."""

    log_expected_count: Tensor
    hidden: Tensor


class GRUNetwork(nn.Module):
    """Bidirectional GRU over held-in counts, linear readout to all units.

    Parameters
    ----------
    config
        Sizes.
    n_inputs, n_outputs
        Held-in units, all units.

    Examples
    --------
    >>> network = GRUNetwork(GRUConfig(hidden_size=8), n_inputs=3, n_outputs=5)
    >>> network(torch.zeros(2, 10, 3), n_forward=4).log_expected_count.shape
    torch.Size([2, 14, 5])
    """

    def __init__(self, config: GRUConfig, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.gru = nn.GRU(n_inputs, config.hidden_size, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(config.dropout)
        self.readout = nn.Linear(2 * config.hidden_size, n_outputs)

    def forward(self, count: Tensor, n_forward: int = 0) -> GRUOutput:
        """Return log expected counts of all bins; forward bins get zeros as input."""
        hidden, _ = self.gru(F.pad(count, (0, 0, 0, n_forward)))
        return GRUOutput(self.readout(self.dropout(hidden)), hidden)

    @torch.no_grad()
    def set_mean_count(self, mean_count: Tensor) -> None:
        """Start the readout at the mean expected count of every unit, dims (unit,)."""
        self.readout.bias.copy_(torch.log(mean_count))


class ReconstructionObjective:
    """Poisson loss of all that the network was not shown (coordinated dropout).

    In training each held-in count is kept with probability ``keep_prob`` and divided by it;
    kept ones are no targets, so copying the input gains nothing. Bins that were not observed
    are no targets either.

    Parameters
    ----------
    context
        Which units and bins are inputs.
    keep_prob
        Share of the input counts that are kept; with 1 everything is a target.

    References
    ----------
    .. [1] Keshtkaran and Pandarinath (2019). Enabling hyperparameter optimization in sequential
       autoencoders for spiking neural data. NeurIPS.
    """

    def __init__(self, context: DataContext, keep_prob: float) -> None:
        self.context, self.keep_prob = context, keep_prob
        self._held_in = torch.from_numpy(context.held_in_index)

    def loss(self, network: nn.Module, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return the mean loss [nats] over targets."""
        count, target = batch["count"], batch["observed"]
        seen = self._seen(count)
        seen, scored = coordinated_dropout(seen, self.keep_prob)
        target = target.clone()
        target[:, : self.context.n_time, self._held_in] &= scored
        log_expected = network(seen, self.context.n_forward).log_expected_count
        losses = F.poisson_nll_loss(log_expected, count, log_input=True, reduction="none")
        return {"loss": (losses * target).sum() / target.sum().clamp(min=1)}

    def validate(self, network: nn.Module, source: Source) -> dict[str, float]:
        """Return ``nll`` [nats per bin] of what is never an input, and ``co_bps`` if defined."""
        expected, count = self._predicted(network, source)
        held_out, n_time = np.asarray(self.context.held_out), self.context.n_time
        unseen = np.ones(expected.shape[1:], dtype=bool)
        unseen[:n_time, ~held_out] = False
        if not unseen.any():
            unseen[:] = True
        log_loss = (expected - count * np.log(expected))[:, unseen]
        scores = {"nll": float(np.nanmean(log_loss))}
        if held_out.any() and np.nansum(count[:, :n_time, held_out]) > 0:
            part = expected[:, :n_time, held_out], count[:, :n_time, held_out]
            scores["co_bps"] = bits_per_spike(*part)
        return scores

    def _seen(self, count: Tensor) -> Tensor:
        return count[:, : self.context.n_time, self._held_in]

    def _predicted(self, network: nn.Module, source: Source) -> tuple[Any, Any]:
        """Return expected counts and counts (NaN where unobserved) of all windows."""
        device = next(network.parameters()).device
        pairs = []
        for start in range(0, len(source), VALIDATED_AT_ONCE):
            stop = min(start + VALIDATED_AT_ONCE, len(source))
            batch = source.gather(np.arange(start, stop))
            seen = self._seen(batch["count"]).to(device)
            log_expected = network(seen, self.context.n_forward).log_expected_count
            count = batch["count"].double().masked_fill(~batch["observed"], torch.nan)
            pairs.append((log_expected.double().exp().cpu().numpy(), count.cpu().numpy()))
        expected, counts = zip(*pairs)
        return np.concatenate(expected), np.concatenate(counts)


class GRUAutoencoder(TorchEstimator[GRUConfig]):
    """Bidirectional GRU autoencoder with coordinated dropout.

    On few trials it overfits quickly without dropout of the hidden states: on the 64 training
    trials of a fold of MC_Maze_Small it peaks after 150 steps of 3e-3 and loses all by 500.

    Examples
    --------
    >>> from neurodyn import recording
    >>> count = np.random.default_rng(0).poisson(1.0, (4, 10, 3))
    >>> counts = recording.counts(count, bin_size=0.02, held_out=[False, False, True])
    >>> model = GRUAutoencoder(hidden_size=4)
    >>> model.fit(counts, training=TrainingConfig(n_steps=2)).predict(counts)["rate"].shape
    (4, 10, 3)
    """

    name = "gru"
    config_class = GRUConfig
    default_training = TrainingConfig(
        n_steps=800, batch_size=256, optimizer="adam", learning_rate=1e-3, weight_decay=1e-5
    )
    search_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        "hidden_size": (32, 48, 64, 96),
        "keep_prob": (0.2, 0.3, 0.5, 0.7),
        "dropout": (0.2, 0.3, 0.5, 0.6),
        "training__learning_rate": (1e-3, 2e-3, 3e-3),
        "training__weight_decay": (1e-6, 1e-5, 1e-4),
    }

    def build_network(self, config: GRUConfig, context: DataContext) -> GRUNetwork:
        """Return a new network."""
        return GRUNetwork(config, context.n_inputs, context.n_units)

    def objective(self, config: GRUConfig, context: DataContext) -> Objective:
        """Return the Poisson loss with coordinated dropout."""
        return ReconstructionObjective(context, config.keep_prob)

    def infer(self, network: nn.Module, count: Tensor) -> dict[str, Tensor]:
        """Return log expected counts and hidden states."""
        output = network(count, self.context_.n_forward)
        return {"log_expected_count": output.log_expected_count, "latent": output.hidden}


def n_gru_parameters(hidden_size: int, n_inputs: int, n_outputs: int) -> int:
    """Return the number of parameters of :class:`GRUNetwork`."""
    gates = 2 * 3 * hidden_size * (n_inputs + hidden_size + 2)
    return gates + (2 * hidden_size + 1) * n_outputs


def matched_to(config: GRUConfig, n_parameters: int, *, n_inputs: int, n_outputs: int) -> GRUConfig:
    """Return a configuration whose network has about ``n_parameters`` parameters.

    Raises
    ------
    ConfigError
        If no hidden size comes within 20 %.

    Examples
    --------
    >>> matched_to(GRUConfig(), 100_000, n_inputs=107, n_outputs=142).hidden_size
    73
    """
    sizes = range(1, 4097)
    best = min(
        sizes, key=lambda size: abs(n_gru_parameters(size, n_inputs, n_outputs) - n_parameters)
    )
    reached = n_gru_parameters(best, n_inputs, n_outputs)
    if abs(reached - n_parameters) > 0.2 * n_parameters:
        raise ConfigError(
            "no hidden size gives about as many parameters",
            found=f"{reached} with hidden_size={best}",
            expected=f"{n_parameters} within 20 %",
        )
    return replace(config, hidden_size=best)
