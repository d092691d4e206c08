"""Neuroformer: a causal transformer over the spikes of a window, which reads what was before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from neurodyn.errors import ConfigError
from neurodyn.models.neuroformer.alignment import ContrastiveAlignment
from neurodyn.models.neuroformer.blocks import Block, Context, GrowingKeys
from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
from neurodyn.models.neuroformer.decoding_cache import DecodingCache
from neurodyn.models.neuroformer.embeddings import TokenEmbedding, rotation_rates
from neurodyn.models.neuroformer.heads import SpikeHead
from neurodyn.models.neuroformer.inputs import InputEncoder
from neurodyn.models.neuroformer.modalities import ContextEncoder, Standardise
from neurodyn.models.neuroformer.packing import Packing
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT, PAD

__all__ = ["NeuroformerNetwork", "NeuroformerOutput"]


class NeuroformerOutput(NamedTuple):
    """What the network returns.

    Attributes
    ----------
    state
        States that predict the tokens but the first, (batch, token - 1, feature), or packed.
    before
        As ``state``, before anything but the window itself was read.
    contexts
        What was read, by source.
    real
        Which of the tokens are no padding, bool (batch, token - 1).
    packing
        Of states that are packed.
    """

    state: Tensor
    before: Tensor
    contexts: dict[str, Context]
    real: Tensor
    packing: Packing | None = None

    @property
    def hidden(self) -> Tensor:
        """``state`` with its padding, (batch, token - 1, feature)."""
        return self._padded(self.state)

    @property
    def summary(self) -> Tensor:
        """Mean of a window's states, (batch, feature)."""
        return self._mean(self.state)

    @property
    def early(self) -> Tensor:
        """As ``summary``, before anything but the window itself was read."""
        return self._mean(self.before)

    def _padded(self, feature: Tensor) -> Tensor:
        return feature if self.packing is None else self.packing.pad(feature)

    def _mean(self, feature: Tensor) -> Tensor:
        here = self.real[..., None]
        return (self._padded(feature) * here).sum(1) / here.sum(1)


class NeuroformerNetwork(nn.Module):
    """Predicts the spikes of a window one after another.

    Batches are those of :meth:`~neurodyn.models.neuroformer.token_windows.TokenWindows.gather`.
    Padding never reaches a state: tokens read earlier ones, and what is read has a mask.

    Parameters
    ----------
    config
        Settings.
    sizes
        Sizes that the data decide.

    Raises
    ------
    ConfigError
        If sizes lack what the settings name, or do not fit them.

    References
    ----------
    Antoniades et al., Neuroformer, ICLR 2024, arXiv 2311.00136. Written from its description.

    Examples
    --------
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> network = NeuroformerNetwork(config, NeuroformerSizes(n_units=4))
    >>> tokens = {"unit": torch.tensor([[1, 4, 2]]), "bin": torch.tensor([[0, 3, 5]])}
    >>> past = {"past_unit": torch.tensor([[3]]), "past_bin": torch.tensor([[-2]])}
    >>> network({**tokens, **past}).hidden.shape
    torch.Size([1, 2, 16])
    """

    def __init__(self, config: NeuroformerConfig, sizes: NeuroformerSizes) -> None:
        super().__init__()
        _check_sizes(config, sizes)
        self.config, self.sizes = config, sizes
        self.embedding = TokenEmbedding(config, FIRST_UNIT + sizes.n_units)
        self.past = ContextEncoder(config) if "past" in config.contexts else None
        self.inputs = InputEncoder(config, sizes)
        width = (config.size, config.n_heads, config.mlp_ratio * config.size, config.dropout)
        rates = rotation_rates(config)
        self.layers = nn.ModuleList(Block(*width, rates) for _ in config.layers)
        self.norm = nn.LayerNorm(config.size)
        self.head = SpikeHead(config, sizes.n_units)
        features = [sizes.behavior[target.name] for target in config.targets]
        self.target_scale = nn.ModuleList(Standardise(n) for n in features)
        self.target_head = nn.ModuleList(
            nn.Linear(config.size, n if target.kind == "regression" else target.n_classes)
            for target, n in zip(config.targets, features)
        )
        self.alignment: ContrastiveAlignment | None = None
        if config.contrastive_weight > 0:
            aligned = [name for name in config.contexts if name != "past"]
            names = ["spikes", *aligned]
            one_way = config.quirks.fused_alignment
            self.alignment = ContrastiveAlignment(config.size, names, one_way=one_way)

    def forward(self, batch: Mapping[str, Tensor]) -> NeuroformerOutput:
        """Return states of all tokens but the last.

        Parameters
        ----------
        batch
            ``unit``, ``bin`` and, with marks, ``mark`` (batch, token), and what the configuration
            reads.
        """
        contexts = self.contexts(batch)
        unit, bins = batch["unit"][:, :-1], batch["bin"][:, :-1]
        real = (batch["unit"][:, 1:] != PAD) | self.config.quirks.attend_padding
        mark = batch["mark"][:, :-1] if self.config.n_marks else None
        token = self.embedding(unit, bins, 0, mark)
        # half of a batch is padding; elsewhere it costs less than to find it
        packing = Packing.of(real) if self.training and real.is_cpu else None
        if packing is not None:
            token = packing.pack(token)
        early = None
        for source, layer in zip(self.config.layers, self._blocks()):
            if source != "self" and early is None:
                early = token
            read = None if source == "self" else layer.read(contexts[source])
            token = layer(token, bins, read, causal=source == "self", packing=packing)
        before = token if early is None else early
        return NeuroformerOutput(self.norm(token), before, contexts, real, packing)

    def contexts(self, batch: Mapping[str, Tensor]) -> dict[str, Context]:
        """Return what blocks read besides the window: past, stimulus and behavior."""
        found: dict[str, Context] = self.inputs(batch)
        if self.past is not None:
            unit, bins = batch["past_unit"], batch["past_bin"]
            mark = batch["past_mark"] if self.config.n_marks else None
            token = self.embedding(unit, bins, mark=mark)
            spikes = Context(token, unit != PAD, bins.float())
            found["past"] = self.past(spikes)
        return found

    def begin(
        self,
        contexts: Mapping[str, Context],
        n_rows: int,
        n_tokens: int,
        recorded: Tensor | None = None,
    ) -> DecodingCache:
        """Return the cache for :meth:`step`; keys and values of contexts are made here.

        Parameters
        ----------
        contexts
            As of :meth:`contexts`.
        n_rows, n_tokens
            Windows, and most tokens that each may get.
        recorded
            Units that can spike, bool (row, unit); all if not given.
        """
        config, like = self.config, self.norm.weight
        sizes = (n_rows, config.n_heads, n_tokens, config.size // config.n_heads)
        reads, grown = [], []
        for source, layer in zip(config.layers, self._blocks()):
            own = source == "self"
            grown.append(GrowingKeys(*sizes, like) if own else None)
            reads.append(None if own else layer.read(contexts[source]))
        return DecodingCache(reads, grown, recorded)

    def step(
        self, unit: Tensor, bins: Tensor, cache: DecodingCache, mark: Tensor | None = None
    ) -> Tensor:
        """Return the states (row, feature) after one token more, (row,); the cache grows by it."""
        time = bins[:, None]
        own = None if mark is None else mark[:, None]
        token = self.embedding(unit[:, None], time, cache.position, own)
        for layer, read, grown in zip(self._blocks(), cache.reads, cache.grown):
            # a block reads a context or, where there is none, the tokens before
            if grown is not None:
                token = layer.step(token, time, grown)
            else:
                token = layer(token, time, read)
        cache.position += 1
        hidden: Tensor = self.norm(token)[:, 0]
        return hidden

    def decode(self, summary: Tensor) -> dict[str, Tensor]:
        """Return decoded behaviors by name, of summaries (batch, feature).

        Standardised values (batch, feature) of a regression, logits (batch, class) else.
        """
        names = [target.name for target in self.config.targets]
        return {name: head(summary) for name, head in zip(names, self.target_head)}

    def set_scales(self, scales: Mapping[str, tuple[object, object]]) -> None:
        """Set means and deviations of inputs and targets: those of training windows.

        Parameters
        ----------
        scales
            As of :meth:`~neurodyn.models.neuroformer.token_windows.TokenWindows.scales`.
        """
        modules = dict(self.inputs.scales())
        for name, (mean, deviation) in scales.items():
            chosen = [modules[name]] if name in modules else []
            for target, module in zip(self.config.targets, self.target_scale):
                if target.name == name and target.kind == "regression":
                    chosen.append(cast(Standardise, module))
            for module in chosen:
                module.set(torch.as_tensor(mean), torch.as_tensor(deviation))

    @torch.no_grad()
    def set_rates(self, expected: object) -> None:
        r"""Start from a Poisson process: biases of the heads say what rates alone say.

        This is exact up to spikes that share a bin.

        .. math:: p(b) = e^{-b \Lambda} (1 - e^{-\Lambda}), \quad p(\mathrm{end}) = e^{-n \Lambda},
            \quad p(u) = \lambda_u / \Lambda, \quad \Lambda = \sum_u \lambda_u

        Parameters
        ----------
        expected
            Mean count of each unit in a bin of the training windows, (unit,).
        """
        rate = torch.as_tensor(expected, dtype=torch.float64).clamp_min(1e-9)
        total, n_bins = rate.sum(), self.config.n_bins
        waiting = -total * torch.arange(n_bins + 1)
        waiting[:n_bins] += torch.log(-torch.expm1(-total))
        share = (rate / total).clamp_min(1e-6).log()
        self.head.bin.bias.copy_(waiting - waiting.mean())
        self.head.unit.bias.copy_(share - share.mean())

    @torch.no_grad()
    def extend(self, n_units: int) -> NeuroformerNetwork:
        """Return a network for more units with the same weights; those of new units are fresh.

        Raises
        ------
        ConfigError
            If there are fewer units than before.
        """
        if n_units < self.sizes.n_units:
            raise ConfigError(
                "a network is not extended to fewer units",
                found=n_units,
                expected=f"at least {self.sizes.n_units}",
            )
        wider = NeuroformerNetwork(self.config, replace(self.sizes, n_units=n_units))
        wider.to(self.norm.weight)
        target = wider.state_dict()
        for name, value in self.state_dict().items():
            # only embedding and head of the units have more rows; 0-dim tensors have none
            target[name][: len(value)].copy_(value) if value.ndim else target[name].copy_(value)
        wider.train(self.training)
        return wider

    def _blocks(self) -> Iterable[Block]:
        return cast("Iterable[Block]", self.layers)


def _check_sizes(config: NeuroformerConfig, sizes: NeuroformerSizes) -> None:
    names = [one.name for one in config.behavior] + [one.name for one in config.targets]
    lacking = [name for name in names if name not in sizes.behavior]
    if lacking or sizes.n_units < 1:
        raise ConfigError(
            "sizes do not fit the settings",
            found=f"{sizes.n_units} units and behaviors {sorted(sizes.behavior)}",
            expected=f"a unit and the features of {', '.join(names) or 'no behavior'}",
        )
