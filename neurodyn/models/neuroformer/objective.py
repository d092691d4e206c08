"""What Neuroformer minimises and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.models.neuroformer.blocks import Context
from neurodyn.models.neuroformer.config import BehaviorTarget, NeuroformerConfig
from neurodyn.models.neuroformer.likelihood import poisson_log_likelihood, token_log_likelihood
from neurodyn.models.neuroformer.modalities import Standardise
from neurodyn.models.neuroformer.network import NeuroformerNetwork, NeuroformerOutput
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT, PAD

__all__ = ["NeuroformerObjective"]

VALIDATION_BATCH = 64


class _Source(Protocol):
    def __len__(self) -> int: ...

    def gather(self, index: NDArray[np.int64]) -> Mapping[str, Tensor]: ...


class NeuroformerObjective:
    r"""Negative log-likelihood of a token, decoding error and alignment, weighted.

    .. math:: L = -\frac{\sum_w \log p(w)}{\sum_w (n_w + 1)}
        + \lambda_b \sum_j L_j + \lambda_c L_\mathrm{align}

    for windows w of n_w spikes. Decoding errors are squared errors of standardised values or
    cross entropies, over windows in which the behavior is known.

    Parameters
    ----------
    config
        Settings of the network.
    expected
        Mean count of each unit in a bin of the training windows, (unit,), the Poisson null: see
        :meth:`~neurodyn.models.neuroformer.token_store.TokenStore.expected_counts`.

    References
    ----------
    Antoniades et al., arXiv 2311.00136, weighs cross entropies of unit, time and contrast; here
    the first two are one likelihood.

    Examples
    --------
    >>> NeuroformerObjective(NeuroformerConfig(), torch.tensor([0.1])).expected.tolist()
    [0.1...]
    """

    def __init__(self, config: NeuroformerConfig, expected: Tensor) -> None:
        self.config, self.expected = config, expected

    def loss(
        self, network: nn.Module, batch: Mapping[str, Tensor], progress: object
    ) -> dict[str, Tensor]:
        """Return the loss and its parts for one batch; ``"spikes"`` is in nats per token."""
        own = cast(NeuroformerNetwork, network)
        output = own(batch)
        n_tokens = (batch["unit"][:, 1:] != PAD).sum()
        spikes = -token_log_likelihood(own, batch, output).sum() / n_tokens
        terms = {"spikes": spikes}
        loss = spikes
        for name, errors in self._decoding(own, output, batch).items():
            terms[name] = errors.mean() if errors.numel() else errors.sum()
            loss = loss + self.config.behavior_weight * terms[name]
        if own.alignment is not None:
            terms["alignment"] = self._alignment(own, output, batch)
            loss = loss + self.config.contrastive_weight * terms["alignment"]
        return {"loss": loss, **{name: value.detach() for name, value in terms.items()}}

    @torch.no_grad()
    def validate(self, network: nn.Module, source: _Source) -> dict[str, float]:
        """Score windows.

        Returns
        -------
        ``bits_per_spike``, exact: log-likelihood of the windows' counts above that of the Poisson
        null, by spikes and log 2, NaN without a spike (not of counts unless the configuration is
        canonical); ``r2:<name>`` of each regression, over features standardised by the training
        windows, about the mean of these windows; ``accuracy:<name>`` of each classification; and
        the ``loss`` of spikes, nats per token.
        """
        own = cast(NeuroformerNetwork, network)
        device = next(network.parameters()).device
        model = null = 0.0
        n_spikes = 0
        decoded: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for start in range(0, len(source), VALIDATION_BATCH):
            index = np.arange(start, min(start + VALIDATION_BATCH, len(source)), dtype=np.int64)
            batch = {name: value.to(device) for name, value in source.gather(index).items()}
            output = own(batch)
            model += float(token_log_likelihood(own, batch, output).double().sum())
            null += float(self._null(batch).sum())
            n_spikes += int((batch["unit"] >= FIRST_UNIT).sum())
            for target, guess, value in self._pairs(own, output, batch):
                decoded.setdefault(target.name, []).append((guess.double(), value.double()))
        bits = (model - null) / (n_spikes * math.log(2)) if n_spikes else math.nan
        scores = {"bits_per_spike": bits, "loss": -model / (n_spikes + len(source))}
        for target in self.config.targets:
            guess, value = (torch.cat(part) for part in zip(*decoded[target.name]))
            scores.update(_score(target, guess, value))
        return scores

    def _null(self, batch: Mapping[str, Tensor]) -> Tensor:
        expected = self.expected.to(batch["unit"].device)
        tokens = (batch["unit"], batch["bin"], expected, self.config.n_bins)
        return poisson_log_likelihood(*tokens, batch.get("recorded"))

    def _pairs(
        self, network: NeuroformerNetwork, output: NeuroformerOutput, batch: Mapping[str, Tensor]
    ) -> list[tuple[BehaviorTarget, Tensor, Tensor]]:
        """Return what is decoded and what is true, over windows where it is known."""
        found = []
        guesses = network.decode(output.summary)
        for target, scale in zip(self.config.targets, network.target_scale):
            known = batch[f"target_known:{target.name}"]
            value = batch[f"target:{target.name}"][known]
            if target.kind == "regression":
                value = cast(Standardise, scale)(value)
            else:
                value = value[:, 0].long()
            found.append((target, guesses[target.name][known].float(), value))
        return found

    def _decoding(
        self, network: NeuroformerNetwork, output: NeuroformerOutput, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        return {
            target.name: (guess - value).square()
            if target.kind == "regression"
            else functional.cross_entropy(guess, value, reduction="none")
            for target, guess, value in self._pairs(network, output, batch)
        }

    def _alignment(
        self, network: NeuroformerNetwork, output: NeuroformerOutput, batch: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the contrastive loss; windows without spikes or samples are left out."""
        has_spikes = (batch["unit"] >= FIRST_UNIT).any(1)
        feature, known = {"spikes": output.early}, {"spikes": has_spikes}
        for name, context in output.contexts.items():
            if name != "past":
                feature[name], known[name] = _pooled(context)
        alike = None
        if "stimulus_row" in batch and network.sizes.stimulus_step > 0:
            # the same or almost the same frame, in this or another trial
            row = batch["stimulus_row"][:, -1]
            radius = self.config.contrastive_exclusion / network.sizes.stimulus_step
            alike = (row[:, None] - row).abs() <= radius
        align = cast(nn.Module, network.alignment)
        loss: Tensor = align(feature, known, alike)
        return loss


def _pooled(context: Context) -> tuple[Tensor, Tensor]:
    """Return the mean of the known tokens of each window and whether it has any."""
    real = context.known[:, 1:, None]
    n_known = real.sum(1)
    mean = (context.token[:, 1:] * real).sum(1) / n_known.clamp_min(1)
    known = n_known[:, 0] > 0
    return (mean, known) if context.row is None else (mean[context.row], known[context.row])


def _score(target: BehaviorTarget, guess: Tensor, value: Tensor) -> dict[str, float]:
    if target.kind == "classification":
        right = (guess.argmax(-1) == value.long()).double()
        return {f"accuracy:{target.name}": float(right.mean()) if len(value) else math.nan}
    spread = (value - value.mean(0)).square().sum() if len(value) else torch.zeros(())
    error = (guess - value).square().sum()
    return {f"r2:{target.name}": 1 - float(error / spread) if spread > 0 else math.nan}
