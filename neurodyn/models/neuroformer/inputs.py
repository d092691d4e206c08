"""Stimulus and behavior of a batch of windows, encoded once where windows share them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from neurodyn.errors import ConfigError
from neurodyn.models.neuroformer.blocks import Context
from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
from neurodyn.models.neuroformer.modalities import (
    ContextEncoder,
    FeatureReader,
    Standardise,
    VideoReader,
)

__all__ = ["InputEncoder", "shared_rows"]

# Times are equal when they agree to this share of a bin.
RESOLUTION = 1e4


class InputEncoder(nn.Module):
    """Readers and encoders of the stimulus and of all behaviors that are read.

    Parameters
    ----------
    config, sizes
        As of :class:`~neurodyn.models.neuroformer.network.NeuroformerNetwork`.

    Raises
    ------
    ConfigError
        If the stimulus has other dims than the settings say.

    Examples
    --------
    >>> from neurodyn.models.neuroformer.config import BehaviorInput, Stage
    >>> config = NeuroformerConfig(
    ...     size=16, stages=(Stage(), Stage(source="behavior")), behavior=(BehaviorInput(name="v"),)
    ... )
    >>> encoder = InputEncoder(config, NeuroformerSizes(n_units=3, behavior={"v": 1}))
    >>> known = torch.ones(2, 5, dtype=torch.bool)
    >>> batch = {"input:v": torch.zeros(2, 5, 1), "input_time:v": torch.zeros(2, 5)}
    >>> encoder({**batch, "input_known:v": known})["behavior"].token.shape
    torch.Size([2, 6, 16])
    """

    def __init__(self, config: NeuroformerConfig, sizes: NeuroformerSizes) -> None:
        super().__init__()
        self.names = [behavior.name for behavior in config.behavior]
        self.readers = nn.ModuleList(
            FeatureReader(
                config, sizes.behavior[name], layer_norm=config.quirks.behavior_layer_norm
            )
            for name in self.names
        )
        self.behavior = ContextEncoder(config) if self.names else None
        if self.names:
            # which behavior a token belongs to
            self.kind = nn.Parameter(0.02 * torch.randn(len(self.names), config.size))
        self.reader: VideoReader | FeatureReader | None = None
        if config.stimulus is not None:
            self.reader = _stimulus_reader(config, sizes)
            self.stimulus = ContextEncoder(config, config.stimulus.n_layers)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Context]:
        """Return contexts ``"stimulus"`` and ``"behavior"``, as far as they are configured."""
        found: dict[str, Context] = {}
        if self.reader is not None:
            fields = [batch[f"stimulus{name}"] for name in ("", "_time", "_known")]
            window, row = shared_rows(batch["stimulus_row"], fields[1])
            read = self.reader(*(value[window] for value in fields))
            found["stimulus"] = self.stimulus(read._replace(row=row))
        if self.behavior is not None:
            parts = []
            for name, reader, kind in zip(self.names, self.readers, self.kind):
                read = reader(*(batch[f"input{x}:{name}"] for x in ("", "_time", "_known")))
                parts.append(read._replace(token=read.token + kind))
            joined = [torch.cat([part[i] for part in parts], 1) for i in range(3)]
            found["behavior"] = self.behavior(Context(*joined))
        return found

    def scales(self) -> Iterator[tuple[str, Standardise]]:
        """Give the standardisation of each input by name."""
        if self.reader is not None:
            yield "stimulus", self.reader.scale
        for name, reader in zip(self.names, self.readers):
            yield name, cast(FeatureReader, reader).scale


def shared_rows(row: Tensor, time: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return a window for each distinct stimulus, and the number of each window's stimulus.

    Parameters
    ----------
    row, time
        Rows of the samples that each window reads and their times [bins], (batch, sample).

    Returns
    -------
    tuple
        Windows (stimulus,) and stimuli (batch,); None for the latter where none is shared.

    Examples
    --------
    >>> row = torch.tensor([[4, 5], [5, 6], [4, 5]])
    >>> shared_rows(row, torch.zeros(3, 2))[1].tolist()
    [0, 1, 0]
    """
    everything = torch.arange(len(row), device=row.device)
    key = torch.cat([row, (time * RESOLUTION).round().long()], 1)
    distinct, number = torch.unique(key, dim=0, return_inverse=True)
    if len(distinct) == len(row):
        return everything, None
    # of equal windows any one will do
    window = everything.new_empty(len(distinct)).scatter_(0, number, everything)
    return window, number


def _stimulus_reader(
    config: NeuroformerConfig, sizes: NeuroformerSizes
) -> VideoReader | FeatureReader:
    stimulus = config.stimulus
    wanted = 4 if stimulus is not None and stimulus.kind == "video" else 2
    if stimulus is None or len(sizes.stimulus) != wanted:
        raise ConfigError(
            "the stimulus does not fit the settings",
            found=f"sizes {sizes.stimulus}",
            expected="samples and features, or frames, channels, rows and columns",
            hint="StimulusInput(kind='features') or kind='video'",
        )
    if stimulus.kind == "video":
        return VideoReader(config, stimulus, sizes.stimulus)
    return FeatureReader(config, sizes.stimulus[1])
