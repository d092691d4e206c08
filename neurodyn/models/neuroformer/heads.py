"""Probabilities of the next spike, its mark, and the end of the window, on what can come next."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurodyn.models.neuroformer.config import NeuroformerConfig
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
        logits = self.bin(hidden).float() / temperature
        if self.canonical:
            bins = torch.arange(self.n_bins + 1, device=logits.device)
            logits = logits.masked_fill(bins < previous_bin[..., None], -torch.inf)
        found: Tensor = logits.log_softmax(-1)
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
        if self.given is not None:
            hidden = self.norm(hidden + self.given(bins))
        logits = self.unit(hidden).float() / temperature
        if recorded is not None:
            between = (1,) * (logits.ndim - 2)
            logits = logits.masked_fill(
                ~recorded.view(-1, *between, recorded.shape[-1]), -torch.inf
            )
        if self.canonical:
            token = FIRST_UNIT + torch.arange(logits.shape[-1], device=logits.device)
            before = (token < previous_unit[..., None]) & (bins == previous_bin)[..., None]
            logits = logits.masked_fill(before, -torch.inf)
        found: Tensor = logits.log_softmax(-1)
        return found

    def log_prob(
        self, hidden: Tensor, unit: Tensor, bins: Tensor, recorded: Tensor | None = None
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

        Returns
        -------
        tuple
            Of bins or the end, and of units given bins, (batch, token - 1) [nat]; 0 at padding,
            and of units at the end.
        """
        previous, target = (unit[:, :-1], bins[:, :-1]), (unit[:, 1:], bins[:, 1:])
        # What follows the end is no prediction; any valid input keeps it finite.
        real, spike = target[0] != PAD, target[0] >= FIRST_UNIT
        last_unit, last_bin = (torch.where(real, x, 0) for x in previous)
        wanted = torch.where(real, target[1], self.n_bins)
        of_bin = self.bin_log_prob(hidden, last_bin).gather(-1, wanted[..., None])[..., 0]
        given = torch.where(spike, target[1], self.n_bins - 1)
        last_unit = torch.where(spike, last_unit, 0)
        table = self.unit_log_prob(hidden, given, last_unit, last_bin, recorded)
        column = torch.where(spike, target[0] - FIRST_UNIT, 0)
        of_unit = table.gather(-1, column[..., None])[..., 0]
        return torch.where(real, of_bin, 0.0), torch.where(spike, of_unit, 0.0)
