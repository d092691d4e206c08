"""What Neuroformer minimises and how it is judged."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.models.batches import WindowSource, batches
from neurodyn.models.neuroformer.blocks import Context
from neurodyn.models.neuroformer.config import BehaviorTarget, NeuroformerConfig
from neurodyn.models.neuroformer.expected_counts import expected_counts
from neurodyn.models.neuroformer.likelihood import (
    mark_log_likelihood,
    poisson_log_likelihood,
    token_log_likelihood,
    uniform_mark_log_likelihood,
)
from neurodyn.models.neuroformer.modalities import Standardise
from neurodyn.models.neuroformer.network import NeuroformerNetwork, NeuroformerOutput
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT

__all__ = ["NeuroformerObjective"]

VALIDATION_BATCH = 64
# Which log-likelihood above which, by spikes and log 2.
BITS = {
    "bits_per_spike": ("counts", "constant_counts"),
    "bits_per_mark": ("marks", "uniform_marks"),
}


class NeuroformerObjective:
    r"""Negative log-likelihood of a token, decoding error and alignment, weighted.

    .. math:: L = -\frac{1}{B (\bar n + 1)} \sum_w \log p(w)
        + \lambda_b \sum_j L_j + \lambda_c L_\mathrm{align}

    for a batch of B windows w, with :math:`\bar n` spikes in a training window: every window counts
    alike, whatever the lengths in its batch. Decoding errors are squared errors of standardised
    values or cross entropies, over windows in which the behavior is known.

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
        n_tokens = 1 + self.config.n_bins * float(self.expected.sum())
        # not by the tokens of this batch: batches of quiet windows would count more
        spikes = -token_log_likelihood(own, batch, output).mean() / n_tokens
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
    def validate(self, network: nn.Module, source: WindowSource) -> dict[str, float]:
        """Score windows.

        Returns
        -------
        ``bits_per_spike``, exact: log-likelihood of the windows' counts above that of the Poisson
        null, by spikes and log 2, NaN without a spike (not of counts unless the configuration is
        canonical); where there are marks,
        ``bits_per_mark``, the same of marks given bins and units above uniform ones (counts are
        then those given the marks of earlier spikes); ``r2:<name>`` of each
        regression, over features standardised by the training windows, about the mean of these
        windows; ``accuracy:<name>`` of each classification; and the ``loss`` of spikes, nats per
        token.
        """
        own = cast(NeuroformerNetwork, network)
        total: defaultdict[str, float] = defaultdict(float)
        n_spikes = 0
        decoded: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for batch in batches(source, network, VALIDATION_BATCH):
            output = own(batch)
            for name, value in self._log_likelihoods(own, batch, output).items():
                total[name] += float(value.double().sum())
            n_spikes += int((batch["unit"] >= FIRST_UNIT).sum())
            for target, guess, known in self._pairs(own, output, batch):
                decoded.setdefault(target.name, []).append((guess.double(), known.double()))
        nats_per_bit = n_spikes * math.log(2) if n_spikes else math.nan
        scores = {
            name: (total[model] - total[null]) / nats_per_bit
            for name, (model, null) in BITS.items()
            if model in total
        }
        scores["loss"] = -(total["counts"] + total["marks"]) / (n_spikes + len(source))
        for target in self.config.targets:
            guess, known = (torch.cat(part) for part in zip(*decoded[target.name]))
            scores.update(_score(target, guess, known))
        return scores

    @torch.no_grad()
    def given_past(self, network: nn.Module, source: WindowSource, *, n_samples: int = 64) -> float:
        """Return bits per spike of independent Poisson counts that read earlier bins alone.

        Their means are :func:`~neurodyn.models.neuroformer.expected_counts.expected_counts`; the
        null is that of ``bits_per_spike``. A regression on the past is scored alike.

        Parameters
        ----------
        network, source
            As in :meth:`validate`.
        n_samples
            Draws of each bin.
        """
        own = cast(NeuroformerNetwork, network)
        gain, n_spikes = 0.0, 0
        for batch in batches(source, network, VALIDATION_BATCH):
            mean = expected_counts(own, batch, n_samples=n_samples)
            gain += float((self._poisson(batch, mean) - self._poisson(batch, self.expected)).sum())
            n_spikes += int((batch["unit"] >= FIRST_UNIT).sum())
        return gain / (n_spikes * math.log(2)) if n_spikes else math.nan

    def _log_likelihoods(
        self, network: NeuroformerNetwork, batch: Mapping[str, Tensor], output: NeuroformerOutput
    ) -> dict[str, Tensor]:
        """Return log-likelihoods of each window, (batch,), under the network and under nulls."""
        found = {
            "counts": token_log_likelihood(network, batch, output),
            "constant_counts": self._poisson(batch, self.expected),
        }
        if self.config.n_marks:
            found["marks"] = mark_log_likelihood(network, batch, output)
            found["counts"] = found["counts"] - found["marks"]
            tokens = (batch["unit"], batch["bin"], batch["mark"])
            sizes = (self.config.n_marks, self.config.n_bins)
            found["uniform_marks"] = uniform_mark_log_likelihood(*tokens, *sizes)
        return found

    def _poisson(self, batch: Mapping[str, Tensor], expected: Tensor) -> Tensor:
        """Return the log-likelihood of counts where each bin's are ``expected``."""
        unit, n_bins = batch["unit"], self.config.n_bins
        given = (expected.to(unit.device), n_bins, batch.get("recorded"))
        return poisson_log_likelihood(unit, batch["bin"], *given)

    def _pairs(
        self, network: NeuroformerNetwork, output: NeuroformerOutput, batch: Mapping[str, Tensor]
    ) -> list[tuple[BehaviorTarget, Tensor, Tensor]]:
        """Return what is decoded and what is true, over windows where it is known."""
        found: list[tuple[BehaviorTarget, Tensor, Tensor]] = []
        if not self.config.targets:
            return found
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
        fused = self.config.quirks.fused_alignment
        has_spikes = (batch["unit"] >= FIRST_UNIT).any(1)
        feature = {"spikes": output.summary if fused else output.early}
        known = {"spikes": has_spikes}
        for name, context in output.contexts.items():
            if name != "past":
                feature[name], known[name] = _pooled(context)
        alike = None
        if not fused and "stimulus_row" in batch and network.sizes.stimulus_step > 0:
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
