"""What BrainMAE minimises in pre-training and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurodyn.models.batches import WindowSource, batches
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.windows.roi_masks import draw_mask, draw_ratio

__all__ = ["ReconstructionObjective"]

VALIDATION_BATCH = 64
# Masks of validation are the same at every call, in every run and on every device.
VALIDATION_SEED = 20240625


class ReconstructionObjective:
    r"""Squared error of hidden and of visible entries, weighted.

    .. math:: L = \lambda \operatorname{mean}_{M=1} (x - \hat x)^2
        + (1 - \lambda) \operatorname{mean}_{M=0} (x - \hat x)^2

    Means run over observed entries of the batch; one without entries is 0. Batches hold ``bold``
    and ``observed`` (batch, segment, roi, frame) and ``time`` [s] (batch, segment).

    Parameters
    ----------
    config
        Settings of the network: masking scheme, ratios and weight.
    networks
        Functional network of each ROI as integers (roi,), negative for none; the masking scheme
        ``"network"`` needs it.

    References
    ----------
    Yang et al., arXiv 2406.17086: masked reconstruction with weights 0.75 and 0.25.

    Examples
    --------
    >>> ReconstructionObjective(BrainMAEConfig(masking="tube")).config.masked_weight
    0.75
    """

    def __init__(self, config: BrainMAEConfig, networks: Tensor | None = None) -> None:
        self.config, self.networks = config, networks

    def loss(
        self, network: nn.Module, batch: Mapping[str, Tensor], progress: object
    ) -> dict[str, Tensor]:
        """Return the loss and its two means for one batch, under a newly drawn mask."""
        ratio = draw_ratio(*self.config.mask_ratio)
        masked, visible = self._errors(network, batch, ratio, None)
        weight = self.config.masked_weight
        loss = weight * masked.mean + (1 - weight) * visible.mean
        return {
            "loss": loss,
            "masked_mse": masked.mean.detach(),
            "visible_mse": visible.mean.detach(),
        }

    @torch.no_grad()
    def validate(self, network: nn.Module, source: WindowSource) -> dict[str, float]:
        """Score reconstructions under masks that are the same at every call.

        Returns
        -------
        ``masked_r2`` and ``visible_r2``, the explained share of the sum of squares about 0, the
        mean of each ROI's run, pooled over all observed entries that are hidden or visible:
        ``1 - sum (x - y)^2 / sum x^2``; and the ``loss`` at ``validation_ratio``.
        """
        generator = torch.Generator().manual_seed(VALIDATION_SEED)
        parts = []
        for batch in batches(source, network, VALIDATION_BATCH):
            parts.append(self._errors(network, batch, self.config.validation_ratio, generator))
        masked, visible = (
            _Errors(*(torch.stack(value).sum() for value in zip(*errors))) for errors in zip(*parts)
        )
        weight = self.config.masked_weight
        loss = weight * masked.mean + (1 - weight) * visible.mean
        return {"masked_r2": masked.r2, "visible_r2": visible.r2, "loss": float(loss)}

    def _errors(
        self,
        network: nn.Module,
        batch: Mapping[str, Tensor],
        ratio: float,
        generator: torch.Generator | None,
    ) -> tuple[_Errors, _Errors]:
        """Reconstruct under a mask; return errors of hidden and of visible entries."""
        bold, observed = batch["bold"], batch["observed"]
        present = observed.any(-1)
        if generator is not None:
            # A given generator lives on the CPU, so that masks do not depend on the device.
            present = present.to(generator.device)
        mask = draw_mask(self.config.masking, present, ratio, self.networks, generator)
        mask = mask.to(bold.device)
        reconstruction = network(bold, observed, batch["time"], mask).reconstruction
        target = torch.where(observed, bold, 0.0).float()
        error = torch.where(observed, reconstruction.float() - target, 0.0)
        # Sums over frames first; double where they are added up over windows.
        parts = [part.sum(-1) for part in (error.square(), observed, target.square())]
        if generator is not None:
            parts = [part.double() for part in parts]
        masked, visible = (_Errors(*((part * m).sum() for part in parts)) for m in (mask, ~mask))
        return masked, visible


class _Errors(NamedTuple):
    """Sum of squared errors, number of entries, sum of squared values."""

    squared: Tensor
    n_entries: Tensor
    total: Tensor

    @property
    def mean(self) -> Tensor:
        return self.squared / self.n_entries.clamp(min=1)

    @property
    def r2(self) -> float:
        return 1 - float(self.squared / self.total) if self.total > 0 else math.nan
