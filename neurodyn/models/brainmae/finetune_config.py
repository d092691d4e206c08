"""Settings of fine-tuning BrainMAE to decode labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from neurodyn.errors import ConfigError, one_of
from neurodyn.models.brainmae.config import BrainMAEConfig

__all__ = ["FinetuneConfig"]


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Settings of :class:`neurodyn.models.brainmae.finetune.BrainMAEDecoder`.

    Parameters
    ----------
    pretrained
        Run folder of a pre-trained BrainMAE; ``""`` starts from random weights of ``network``.
    network
        Settings of the encoder where nothing is pre-trained; else not read.
    examples
        What has a label: ``"runs"``, by an attribute, or ``"events"``, by a column of the
        ``/trials`` of the runs.
    target
        Name of the attribute or column.
    task
        ``"classification"`` or ``"regression"``.
    lag
        From the start of an event to that of its segment [s].
    encoder_scale
        Learning rate of the last layer of the encoder as a share of the head's.
    layer_decay
        Further factor for each layer below.
    dropout
        Of the features before the head.

    Raises
    ------
    ConfigError
        For a value outside its range.

    References
    ----------
    Clark et al. (2020). ELECTRA. ICLR: layer-wise decay of learning rates in fine-tuning.

    Examples
    --------
    >>> FinetuneConfig(target="diagnosis").task
    'classification'
    """

    pretrained: str = ""
    network: BrainMAEConfig = field(default_factory=BrainMAEConfig)
    examples: Literal["runs", "events"] = "runs"
    target: str = "target"
    task: Literal["classification", "regression"] = "classification"
    lag: float = 6.0
    encoder_scale: float = 0.1
    layer_decay: float = 0.75
    dropout: float = 0.2

    def __post_init__(self) -> None:
        one_of("examples", self.examples, ("runs", "events"))
        one_of("task", self.task, ("classification", "regression"))
        for name, valid, expected in (
            ("target", bool(self.target), "a name"),
            ("lag", self.lag >= 0, "seconds from 0"),
            ("encoder_scale", self.encoder_scale >= 0, "0 (frozen) or more"),
            ("layer_decay", 0 < self.layer_decay <= 1, "above 0, up to 1"),
            ("dropout", 0 <= self.dropout < 1, "from 0, below 1"),
        ):
            if not valid:
                raise ConfigError(
                    f"invalid value for {name}", found=repr(getattr(self, name)), expected=expected
                )
