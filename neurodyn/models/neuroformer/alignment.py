"""Alignment of spikes with what was seen and done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

__all__ = ["ContrastiveAlignment"]

START_TEMPERATURE, PUBLISHED_TEMPERATURE = 0.2, 0.5
# Sharper similarities than this make one pair the whole loss.
LOWEST_TEMPERATURE = 0.01


class ContrastiveAlignment(nn.Module):
    r"""Symmetric contrastive loss between features of the same window.

    .. math:: L_{xy} = -\frac{1}{2} \Big( \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ij}}}
        + \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ji}}} \Big), \qquad s_{ij} = x_i \cdot y_j / \tau

    Features are projected by a head of their own and have length 1; the temperature is learned.

    Parameters
    ----------
    size
        Features of what is aligned.
    names
        Of the modalities; all pairs are aligned.
    one_way
        The first term alone, not halved, at the fixed temperature 0.5: a published quirk.

    References
    ----------
    Radford et al., arXiv 2103.00020.

    Examples
    --------
    >>> align = ContrastiveAlignment(4, ["spikes", "stimulus"])
    >>> known = torch.ones(3, dtype=torch.bool)
    >>> feature = {"spikes": torch.eye(3, 4), "stimulus": torch.eye(3, 4)}
    >>> align(feature, {"spikes": known, "stimulus": known}).shape
    torch.Size([])
    """

    def __init__(self, size: int, names: Iterable[str], *, one_way: bool = False) -> None:
        super().__init__()
        self.project = nn.ModuleDict({name: nn.Linear(size, size, bias=False) for name in names})
        self.one_way = one_way
        temperature = PUBLISHED_TEMPERATURE if one_way else START_TEMPERATURE
        self.log_temperature = nn.Parameter(
            torch.tensor(math.log(temperature)), requires_grad=not one_way
        )

    def forward(
        self,
        feature: Mapping[str, Tensor],
        known: Mapping[str, Tensor],
        alike: Tensor | None = None,
    ) -> Tensor:
        """Return the mean loss over windows and pairs of modalities.

        Parameters
        ----------
        feature
            Features of each modality, (batch, feature).
        known
            Windows that have it, bool (batch,); the others are left out.
        alike
            Which windows are no negatives of each other, bool (batch, batch).
        """
        unit = {
            name: nn.functional.normalize(head(feature[name]), dim=-1)
            for name, head in self.project.items()
        }
        temperature = self.log_temperature.exp().clamp_min(LOWEST_TEMPERATURE)
        losses = []
        for first, second in combinations(unit, 2):
            both = known[first] & known[second]
            score = unit[first] @ unit[second].mT / temperature
            own = torch.eye(len(score), dtype=torch.bool, device=score.device)
            hidden = ~own & ~(both[:, None] & both)
            if alike is not None:
                hidden = hidden | (alike & ~own)
            score = score.masked_fill(hidden, -torch.inf)
            right = score.diagonal()
            each = score.logsumexp(1)
            loss = (each if self.one_way else (score.logsumexp(0) + each) / 2) - right
            losses.append((loss * both).sum() / both.sum().clamp_min(1))
        return torch.stack(losses).mean()
