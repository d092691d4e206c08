"""Probabilities of the next spike, its mark, and the end of the window, on what can come next."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.models.neuroformer.config import NeuroformerConfig
from neurodyn.models.neuroformer.embeddings import look_up
from neurodyn.models.neuroformer.packing import Packing
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT, PAD

__all__ = ["MarkHead", "SpikeHead"]


class MarkHead(nn.Module):
    """Probability of the level of a spike's amplitude, given its bin and unit.

    Where the configuration is canonical, spikes of one unit in one bin have marks in order.

    Parameters
    ----------
    config
        Settings, with marks.
    n_units
        Units of the vocabulary.

    Examples
    --------
    >>> head = MarkHead(NeuroformerConfig(size=16, n_marks=4), 3)
    >>> spike, before = (torch.tensor([4]), torch.tensor([2])), torch.tensor([4, 2, 1])[:, None]
    >>> head(torch.zeros(1, 16), *spike, tuple(before)).exp()[0, 0].item()
    0.0
    """

    def __init__(self, config: NeuroformerConfig, n_units: int) -> None:
        super().__init__()
        self.canonical = config.canonical
        self.bin = nn.Embedding(config.n_bins, config.size)
        self.unit = nn.Embedding(n_units, config.size)
        self.norm = nn.LayerNorm(config.size)
        self.level = nn.Linear(config.size, config.n_marks)
        nn.init.normal_(self.level.weight, std=0.02)
        nn.init.zeros_(self.level.bias)

    def forward(
        self,
        hidden: Tensor,
        unit: Tensor,
        bins: Tensor,
        previous: tuple[Tensor, Tensor, Tensor],
        temperature: float = 1.0,
    ) -> Tensor:
        """Return log-probabilities (..., level).

        Parameters
        ----------
        hidden
            States, (..., feature).
        unit, bins
            Token and bin of the spike, (...).
        previous
            Token, bin and mark of the spike before, (...) each.
        temperature
            Divides the logits.
        """
        known = hidden + self.bin(bins) + self.unit(unit - FIRST_UNIT)
        logits = self.level(self.norm(known)).float() / temperature
        if self.canonical:
            same = (previous[0] == unit) & (previous[1] == bins)
            level = torch.arange(logits.shape[-1], device=logits.device)
            before = (level < previous[2][..., None]) & same[..., None]
            logits = logits.masked_fill(before, -torch.inf)
        found: Tensor = logits.log_softmax(-1)
        return found

    def log_prob(self, hidden: Tensor, unit: Tensor, bins: Tensor, mark: Tensor) -> Tensor:
        """Return log-probabilities of the marks of sequences, (batch, token - 1), 0 of no spike.

        Parameters
        ----------
        hidden
            States (batch, token - 1, feature), which predict the tokens but the first.
        unit, bins, mark
            SOS, spikes, EOS and padding, (batch, token).
        """
        spike = unit[:, 1:] >= FIRST_UNIT
        # what is no spike has no mark; any valid input keeps it finite
        own_unit = torch.where(spike, unit[:, 1:], FIRST_UNIT)
        own_bin, own = (torch.where(spike, x[:, 1:], 0) for x in (bins, mark))
        previous = (unit[:, :-1], bins[:, :-1], torch.where(spike, mark[:, :-1], 0))
        table = self(hidden, own_unit, own_bin, previous)
        found = table.gather(-1, own[..., None])[..., 0]
        return torch.where(spike, found, 0.0)


class SpikeHead(nn.Module):
    r"""Probability of the next bin or the end, and of the unit given the bin.

    .. math:: p(b, u \mid h) = p(b \mid h) \, p(u \mid b, h), \qquad
        p(\mathrm{end} \mid h) = p(b = n_{bins} \mid h)

    Where the configuration is canonical, bins before the last spike's and, in its bin, units
    before its unit have no probability: sequences in canonical order have all of it. Marks, if
    there are any, have a head of their own, :class:`MarkHead`, given bin and unit.

    Parameters
    ----------
    config
        Settings.
    n_units
        Units of the vocabulary.

    References
    ----------
    Antoniades et al., arXiv 2311.00136, has p(b) p(u); dependence and support are ours.

    Examples
    --------
    >>> head = SpikeHead(NeuroformerConfig(size=16), 4)
    >>> head.bin_log_prob(torch.zeros(2, 16), torch.tensor([0, 3])).exp()[1].tolist()
    [0.0, 0.0, 0.0, 0.33..., 0.33..., 0.33...]
    """

    def __init__(self, config: NeuroformerConfig, n_units: int) -> None:
        super().__init__()
        self.n_bins, self.canonical = config.n_bins, config.canonical
        self.bin = nn.Linear(config.size, config.n_bins + 1)
        self.unit = nn.Linear(config.size, n_units)
        self.given: nn.Embedding | None = None
        if config.joint_head:
            self.given = nn.Embedding(config.n_bins, config.size)
            self.norm = nn.LayerNorm(config.size)
        for layer in (self.bin, self.unit):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        self.mark = MarkHead(config, n_units) if config.n_marks else None

    def bin_log_prob(
        self, hidden: Tensor, previous_bin: Tensor, temperature: float = 1.0
    ) -> Tensor:
        """Return log-probabilities (..., bin or end) of states (..., feature).

        ``previous_bin`` (...) is the bin of the last spike, 0 at the begin.
        """
        found: Tensor = self._bin_logits(hidden, previous_bin, temperature).log_softmax(-1)
        return found

    def unit_log_prob(
        self,
        hidden: Tensor,
        bins: Tensor,
        previous_unit: Tensor,
        previous_bin: Tensor,
        recorded: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return log-probabilities (..., unit) given the bin of the spike.

        Parameters
        ----------
        hidden
            States, (..., feature).
        bins
            Bin of the spike, (...).
        previous_unit, previous_bin
            Token and bin of the last spike, SOS and 0 at the begin, (...).
        recorded
            Units that can spike, bool (batch, unit); all if not given.
        temperature
            Divides the logits.
        """
        if recorded is not None:
            recorded = recorded.view(-1, *(1,) * (hidden.ndim - 2), recorded.shape[-1])
        previous = (previous_unit, previous_bin)
        logits = self._unit_logits(hidden, bins, previous, recorded, temperature)
        found: Tensor = logits.log_softmax(-1)
        return found

    def log_prob(
        self,
        hidden: Tensor,
        unit: Tensor,
        bins: Tensor,
        recorded: Tensor | None = None,
        packing: Packing | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return log-probabilities of the tokens of sequences.

        Parameters
        ----------
        hidden
            States (batch, token - 1, feature), which predict the tokens but the first.
        unit, bins
            SOS, spikes, EOS and padding, (batch, token).
        recorded
            As of :meth:`unit_log_prob`.
        packing
            Of states that are packed, (token, feature), as what is returned then is.

        Returns
        -------
        tuple
            Of bins or the end, and of units given bins, (batch, token - 1) [nat]; 0 at padding,
            and of units at the end.
        """
        fields = torch.stack([unit[:, :-1], bins[:, :-1], unit[:, 1:], bins[:, 1:]], -1)
        if packing is not None:
            fields = packing.pack(fields)
        last_unit, last_bin, unit, bins = fields.unbind(-1)
        if recorded is not None and packing is None:
            recorded = recorded[:, None]
        elif recorded is not None and packing is not None:
            recorded = recorded.index_select(0, packing.row)
        real, spike = unit != PAD, unit >= FIRST_UNIT
        # What follows the end is no prediction; any valid input keeps it finite.
        last_bin = torch.where(real, last_bin, 0)
        of_bin = _chosen(self._bin_logits(hidden, last_bin), bins, real)
        given = torch.where(spike, bins, self.n_bins - 1)
        previous = (torch.where(spike, last_unit, 0), last_bin)
        logits = self._unit_logits(hidden, given, previous, recorded)
        return of_bin, _chosen(logits, unit - FIRST_UNIT, spike)

    def _bin_logits(self, hidden: Tensor, previous_bin: Tensor, temperature: float = 1.0) -> Tensor:
        logits = _tempered(self.bin(hidden), temperature)
        if not self.canonical:
            return logits
        bins = torch.arange(self.n_bins + 1, device=logits.device)
        return _without(logits, bins < previous_bin[..., None])

    def _unit_logits(
        self,
        hidden: Tensor,
        bins: Tensor,
        previous: tuple[Tensor, Tensor],
        recorded: Tensor | None,
        temperature: float = 1.0,
    ) -> Tensor:
        if self.given is not None:
            hidden = self.norm(hidden + look_up(self.given, bins))
        logits = _tempered(self.unit(hidden), temperature)
        never = None if recorded is None else ~recorded
        if self.canonical:
            # no unit is before the first
            last = torch.where(bins == previous[1], previous[0], 0)[..., None]
            before = FIRST_UNIT + torch.arange(logits.shape[-1], device=logits.device) < last
            never = before if never is None else before | never
        return logits if never is None else _without(logits, never)


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    """Return logits in float32 by a temperature; in training there is nothing to divide by."""
    return logits.float() if temperature == 1 else logits.float() / temperature


def _without(logits: Tensor, never: Tensor) -> Tensor:
    """Return logits of which some are -inf."""
    # added, not filled in, which the gradient would be, too: it is 0 there anyway
    return logits + logits.new_zeros(never.shape).masked_fill_(never, -torch.inf)


def _chosen(logits: Tensor, choice: Tensor, exists: Tensor) -> Tensor:
    """Return log-probabilities of choices (...) of logits (..., choice), 0 where none exists."""
    none = -1
    wanted = torch.where(exists, choice, none).flatten()
    cost = functional.cross_entropy(
        logits.flatten(0, -2), wanted, ignore_index=none, reduction="none"
    )
    return -cost.view(choice.shape)
