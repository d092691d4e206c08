"""What a network predicts worse when a spike is deleted from what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from neurodyn.errors import ConfigError, one_of
from neurodyn.models.neuroformer.intensity import spike_intensity
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.pair_totals import PairTotals, block_batches
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT, PAD
from neurodyn.models.neuroformer.unit_likelihood import unit_log_likelihood

__all__ = ["Deletions", "Effect", "deletion_effect", "without_spikes"]

Effect = Literal["log_likelihood", "log_rate"]

TOKEN_FIELDS = {"unit", "bin", "mark"}


class Deletions(NamedTuple):
    """Spikes of a batch that are deleted one at a time, int64 ``(deletion,)``.

    Attributes
    ----------
    row, column
        Window and token of the spike.
    past
        Whether it lies before the window, bool.
    """

    row: Tensor
    column: Tensor
    past: Tensor


@torch.no_grad()
def deletion_effect(
    network: NeuroformerNetwork,
    windows: TokenWindows,
    effect: Effect = "log_likelihood",
    *,
    lag: float = 0.01,
    n_blocks: int = 50,
    batch_size: int = 256,
) -> PairTotals:
    r"""Return what is lost of another unit soon after a spike that is deleted [nat per spike].

    .. math:: s_{ji} = \sum_{l = 1}^{lag} \left\langle \log p_i(b) - \log p_i^{-}(b)
        \right\rangle_{b = b_j + l}

    with the probability p of the count of unit i in bin b, see
    :func:`~neurodyn.models.neuroformer.unit_likelihood.unit_log_likelihood`, and without (-) one
    spike of unit j, for which the window is read anew. It is above 0 where the spike helps to
    predict, be it by excitation or inhibition; what the network wrongly believes lowers it.
    ``log_rate`` is signed and what the network believes, right or wrong: the change of
    :func:`~neurodyn.models.neuroformer.intensity.spike_intensity`.

    Parameters
    ----------
    network, windows
        A network in evaluation mode and what it reads.
    effect
        ``"log_likelihood"`` or ``"log_rate"``.
    lag
        Last bin after a spike that counts [s], at least a bin.
    n_blocks, batch_size
        Blocks of consecutive windows that are summed apart; windows that are read at once.

    Raises
    ------
    ConfigError
        For another effect, a ``lag`` below a bin, or a network in training mode.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig
    >>> from neurodyn.models.neuroformer.recordings import token_windows
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> spikes = spikes_from_units({"a": [0.21], "b": [0.4]}, observed=[[0.0, 1.0]])
    >>> windows = token_windows(spikes, config)
    >>> network = NeuroformerNetwork(config, windows.sizes()).eval()
    >>> deletion_effect(network, windows, n_blocks=1).ratio().shape
    (2, 2)
    """
    n_lags = _check_settings(effect, lag, network.config.bin_size)
    totals = PairTotals.zeros(n_blocks, network.sizes.n_units)
    for block, batch in block_batches(network, windows, n_blocks, batch_size):
        found = _deletions(network, batch, n_lags)
        change = _Change(network, batch, effect, n_lags)
        for start in range(0, len(found.row), batch_size):
            part = Deletions(*(field[start : start + batch_size] for field in found))
            unit = (_deleted(batch, part, "unit") - FIRST_UNIT).cpu().numpy()
            for sums, added in zip(totals, change(part)):
                np.add.at(sums[block], unit, added.cpu().numpy())
    return totals


def without_spikes(batch: Mapping[str, Tensor], deletions: Deletions) -> dict[str, Tensor]:
    """Return a window for each deletion, that of its row without its spike.

    Later tokens of the window move up; a spike before it becomes padding.

    Examples
    --------
    >>> batch = {"unit": torch.tensor([[1, 4, 3, 2]]), "bin": torch.tensor([[0, 1, 2, 5]])}
    >>> past = {"past_unit": torch.tensor([[3]]), "past_bin": torch.tensor([[-2]])}
    >>> one = Deletions(torch.tensor([0]), torch.tensor([1]), torch.tensor([False]))
    >>> without_spikes({**batch, **past}, one)["unit"].tolist()
    [[1, 3, 2, 0]]
    """
    row, column, past = (field[:, None] for field in deletions)
    less = {name: value[row[:, 0]] for name, value in batch.items()}
    each = torch.arange(less["past_unit"].shape[1], device=row.device)
    less["past_unit"] = less["past_unit"].masked_fill(past & (each == column), PAD)
    each = torch.arange(less["unit"].shape[1], device=row.device)
    source = each + (~past & (each >= column))
    for name in TOKEN_FIELDS & less.keys():
        # 0 is padding of all of them
        less[name] = functional.pad(less[name], (0, 1)).gather(1, source)
    return less


class _Change:
    """Changes that deletions make to what is expected in windows of a batch."""

    def __init__(
        self, network: NeuroformerNetwork, batch: Mapping[str, Tensor], effect: Effect, n_lags: int
    ) -> None:
        self.network, self.batch, self.effect, self.n_lags = network, batch, effect, n_lags
        self.full = self._read(batch)

    def __call__(self, deletions: Deletions) -> tuple[Tensor, Tensor]:
        """Return sums over bins (deletion, unit), and which share of all lags they have."""
        less = self._read(without_spikes(self.batch, deletions))
        each = torch.arange(less.shape[1], device=less.device)
        since = each - _deleted(self.batch, deletions, "bin")[:, None]
        counted = ((since >= 1) & (since <= self.n_lags)).double()
        share = counted.sum(1, keepdim=True) / self.n_lags
        return torch.einsum("db,dbu->du", counted, self.full[deletions.row] - less), share

    def _read(self, batch: Mapping[str, Tensor]) -> Tensor:
        if self.effect == "log_likelihood":
            return unit_log_likelihood(self.network, batch)
        return spike_intensity(self.network, batch).log()


def _check_settings(effect: Effect, lag: float, bin_size: float) -> int:
    """Return the lag in bins."""
    one_of("effect", effect, get_args(Effect))
    n_lags = round(lag / bin_size)
    if n_lags < 1:
        raise ConfigError(
            "lag is shorter than a bin", found=f"{lag} s", expected=f"at least {bin_size} s"
        )
    return n_lags


def _deletions(network: NeuroformerNetwork, batch: Mapping[str, Tensor], n_lags: int) -> Deletions:
    """Return the spikes that a bin of their window follows within the lag."""
    own = (batch["unit"] >= FIRST_UNIT) & (batch["bin"] < network.config.n_bins - 1)
    past = (batch["past_unit"] >= FIRST_UNIT) & (batch["past_bin"] >= -n_lags)
    if network.past is None:
        past = torch.zeros_like(past)
    parts = [torch.nonzero(own), torch.nonzero(past)]
    row, column = torch.cat(parts).T
    return Deletions(row, column, torch.arange(len(row), device=row.device) >= len(parts[0]))


def _deleted(batch: Mapping[str, Tensor], deletions: Deletions, name: str) -> Tensor:
    """Return a field of each spike, ``(deletion,)``."""
    row, column, past = deletions
    found = batch[name].new_empty(len(row))
    found[~past] = batch[name][row[~past], column[~past]]
    found[past] = batch[f"past_{name}"][row[past], column[past]]
    return found
