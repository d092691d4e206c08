"""Settings of Neuroformer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from neurodyn.errors import ConfigError, one_of
from neurodyn.models.neuroformer.published_quirks import PublishedQuirks

__all__ = [
    "BehaviorInput",
    "BehaviorTarget",
    "NeuroformerConfig",
    "NeuroformerSizes",
    "Stage",
    "StimulusInput",
]

SOURCES = ("self", "past", "stimulus", "behavior")


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_time(value: Any, least: float = 0.0) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0 and value >= least


def _check(name: str, value: object, valid: bool, expected: str) -> None:
    if not valid:
        raise ConfigError(f"invalid value for {name}", found=repr(value), expected=expected)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Blocks that read one source, in the order of the configuration.

    Parameters
    ----------
    source
        ``"self"``: the window's earlier tokens. ``"past"``: spikes before the window.
        ``"stimulus"`` and ``"behavior"``: what is seen and done.
    n_layers
        Blocks, 1 or more.
    self_attention
        Puts a block of self-attention before each block that reads another source.

    Examples
    --------
    >>> Stage(source="past", n_layers=2, self_attention=True).layers
    ('self', 'past', 'self', 'past')
    """

    source: Literal["self", "past", "stimulus", "behavior"] = "self"
    n_layers: int = 1
    self_attention: bool = False

    def __post_init__(self) -> None:
        one_of("source", self.source, SOURCES)
        _check("n_layers", self.n_layers, _is_size(self.n_layers), "a whole number, 1 or more")

    @property
    def layers(self) -> tuple[str, ...]:
        """Source of each block."""
        with_self = self.self_attention and self.source != "self"
        return (("self", self.source) if with_self else (self.source,)) * self.n_layers


@dataclass(frozen=True, kw_only=True)
class StimulusInput:
    """How a stimulus is read.

    Parameters
    ----------
    name
        Of the signal in the data; not needed if there is one.
    kind
        ``"video"``: frames (channel, height, width) through a convolution over time and space,
        which cuts patches where stride and kernel are equal. ``"features"``: channels.
    window
        Length of what is read [s].
    until
        ``"start"``: samples before the window, strictly causal. ``"stop"``: before its end, which
        conditions on what is seen meanwhile; never later.
    kernel, stride
        Frames, rows and columns of ``"video"``.
    n_layers
        Blocks of self-attention over what was read, 0 or more.

    Examples
    --------
    >>> StimulusInput(window=0.2, kernel=(3, 8, 8), stride=(3, 4, 4)).until
    'start'
    """

    name: str | None = None
    kind: Literal["video", "features"] = "video"
    window: float = 0.2
    until: Literal["start", "stop"] = "start"
    kernel: tuple[int, int, int] = (3, 8, 8)
    stride: tuple[int, int, int] = (3, 8, 8)
    n_layers: int = 2

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("video", "features"))
        one_of("until", self.until, ("start", "stop"))
        _check("window", self.window, _is_time(self.window), "seconds above 0")
        for name in ("kernel", "stride"):
            value = getattr(self, name)
            valid = len(value) == 3 and all(_is_size(item) for item in value)
            _check(name, value, valid, "frames, rows and columns, 1 or more")
        whole = isinstance(self.n_layers, int) and self.n_layers >= 0
        _check("n_layers", self.n_layers, whole, "a whole number, 0 or more")


@dataclass(frozen=True, kw_only=True)
class BehaviorInput:
    """A behavior that is read.

    Parameters
    ----------
    name
        Of the behavior in the data.
    window
        Length of what is read [s].
    until
        As of :class:`StimulusInput`.

    Examples
    --------
    >>> BehaviorInput(name="speed", window=0.1).until
    'start'
    """

    name: str
    window: float = 0.1
    until: Literal["start", "stop"] = "start"

    def __post_init__(self) -> None:
        one_of("until", self.until, ("start", "stop"))
        _check("window", self.window, _is_time(self.window), "seconds above 0")


@dataclass(frozen=True, kw_only=True)
class BehaviorTarget:
    """A behavior that is decoded: its last sample before an instant of the window.

    Parameters
    ----------
    name
        Of the behavior in the data.
    at
        Where in the window the instant is: 1 is its end, so that nothing later is read; at 0.5
        as much of what follows is read as of what precedes.
    kind
        ``"regression"``: squared error of standardised values. ``"classification"``: whole
        numbers from 0 below ``n_classes``, cross entropy.
    n_classes
        Classes, 2 or more where there are any.

    Examples
    --------
    >>> BehaviorTarget(name="speed").kind
    'regression'
    """

    name: str
    at: float = 1.0
    kind: Literal["regression", "classification"] = "regression"
    n_classes: int = 0

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("regression", "classification"))
        _check("at", self.at, 0 < self.at <= 1, "above 0, at most 1")
        valid = self.kind == "regression" or self.n_classes >= 2
        _check("n_classes", self.n_classes, valid, "2 or more for classification")


@dataclass(frozen=True, kw_only=True)
class NeuroformerConfig:
    """Settings of Neuroformer; sizes that the data decide are not among them.

    Parameters
    ----------
    bin_size
        Resolution of spike times [s], at least 1 ms.
    window, past
        Length of what is predicted and of the spikes before it that are read [s], whole numbers
        of bins.
    stride
        From one training window to the next [s]; a window if not given. Windows that overlap show
        the same spikes at other places of the window. Scored windows never overlap.
    stretches
        Where windows lie. ``"observed"``: in what was observed of all units. ``"trials"``: in
        trials, so that no window reads another trial.
    stages
        What is read in which order.
    stimulus, behavior
        What is read besides spikes.
    targets
        Behaviors that are decoded.
    size, n_heads, mlp_ratio
        Features of a token, heads, and hidden units of the perceptrons as a multiple of it.
    time
        How times enter. ``"learnt"``: a perceptron of the time. ``"sinusoidal"``: a fixed code.
        ``"rotary"``: queries and keys are rotated, so that differences of time count.
    order
        Adds a code of the position in the sequence.
    joint_head
        The unit is drawn given the bin, p(bin) p(unit | bin); off: both from the same state.
    n_marks
        Levels of the amplitude of spikes, which then are calcium events, 2 or more; 0: no marks.
    canonical
        Probability is given only to tokens that the canonical order allows, which makes that of a
        sequence the probability of its counts.
    dropout
        Dropout inside the blocks.
    contrastive_weight, behavior_weight
        Weights of alignment and decoding beside the likelihood; 0 turns alignment off.
    contrastive_exclusion
        Windows of a batch whose stimulus is closer than this [s] are no negatives of each other.
    quirks
        Defects of the public code, all off.

    Raises
    ------
    ConfigError
        For a value outside its range, or a stage whose source is not configured.

    References
    ----------
    Antoniades et al., Neuroformer, ICLR 2024, arXiv 2311.00136. Order, joint head, canonical
    support, rotary time and alignment before fusion are ours.

    Examples
    --------
    >>> config = NeuroformerConfig(bin_size=0.01, window=0.05, past=0.15)
    >>> config.n_bins, config.n_past_bins, config.layers
    (5, 15, ('self', 'self', 'past', 'past', 'self', 'self'))
    """

    bin_size: float = 0.01
    window: float = 0.05
    past: float = 0.15
    stride: float | None = None
    stretches: Literal["observed", "trials"] = "observed"
    stages: tuple[Stage, ...] = (
        Stage(source="self", n_layers=2),
        Stage(source="past", n_layers=2),
        Stage(source="self", n_layers=2),
    )
    stimulus: StimulusInput | None = None
    behavior: tuple[BehaviorInput, ...] = ()
    targets: tuple[BehaviorTarget, ...] = ()
    size: int = 256
    n_heads: int = 8
    mlp_ratio: int = 4
    time: Literal["learnt", "sinusoidal", "rotary"] = "sinusoidal"
    order: bool = True
    n_marks: int = 0
    joint_head: bool = True
    canonical: bool = True
    dropout: float = 0.1
    contrastive_weight: float = 0.0
    contrastive_exclusion: float = 0.5
    behavior_weight: float = 1.0
    quirks: PublishedQuirks = field(default_factory=PublishedQuirks)

    def __post_init__(self) -> None:
        _check(
            "stride", self.stride, self.stride is None or _is_time(self.stride), "seconds above 0"
        )
        one_of("stretches", self.stretches, ("observed", "trials"))
        one_of("time", self.time, ("learnt", "sinusoidal", "rotary"))
        for name in ("size", "n_heads", "mlp_ratio"):
            value = getattr(self, name)
            _check(name, value, _is_size(value), "a whole number, 1 or more")
        marked = self.n_marks == 0 or (_is_size(self.n_marks) and self.n_marks > 1)
        _check("n_marks", self.n_marks, marked, "0, or a whole number from 2")
        _check("bin_size", self.bin_size, _is_time(self.bin_size, 1e-3), "at least 0.001 s")
        for name in ("window", "past"):
            bins = getattr(self, name) / self.bin_size if _is_time(getattr(self, name)) else 0.5
            whole = round(bins) >= 1 and abs(bins - round(bins)) < 1e-6 * bins
            _check(name, getattr(self, name), whole, f"a multiple of bin_size={self.bin_size} s")
        even = self.size % (2 * self.n_heads) == 0
        _check("size", self.size, even, f"a multiple of 2 n_heads={2 * self.n_heads}")
        _check("dropout", self.dropout, 0 <= self.dropout < 1, "from 0, below 1")
        for name in ("contrastive_weight", "contrastive_exclusion", "behavior_weight"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        self._check_sources()

    @property
    def n_bins(self) -> int:
        """Bins of a window."""
        return round(self.window / self.bin_size)

    @property
    def n_past_bins(self) -> int:
        """Bins of the past."""
        return round(self.past / self.bin_size)

    @property
    def layers(self) -> tuple[str, ...]:
        """Source of each block, in order."""
        return tuple(source for stage in self.stages for source in stage.layers)

    @property
    def contexts(self) -> tuple[str, ...]:
        """Sources other than the window itself that a block reads."""
        return tuple(source for source in SOURCES[1:] if source in self.layers)

    def _check_sources(self) -> None:
        _check("stages", self.stages, "self" in self.layers, "at least one that reads 'self'")
        given = {"stimulus": self.stimulus is not None, "behavior": bool(self.behavior)}
        for source, present in given.items():
            if present != (source in self.layers):
                raise ConfigError(
                    f"stages and {source} do not fit each other",
                    found=f"{'a' if present else 'no'} {source} and stages {self.layers}",
                    expected=f"both a {source} and a stage that reads it, or neither",
                )
        for name in ("behavior", "targets"):
            found = [item.name for item in getattr(self, name)]
            _check(name, found, len(set(found)) == len(found), "each name once")
        aligned = self.contrastive_weight == 0 or any(given.values())
        _check("contrastive_weight", self.contrastive_weight, aligned, "0 without other inputs")


@dataclass(frozen=True, kw_only=True)
class NeuroformerSizes:
    """Sizes of a network that the data decide.

    Parameters
    ----------
    n_units
        Units of the vocabulary.
    stimulus
        Samples that a window reads, then channels, rows and columns of a frame, or features.
    stimulus_step
        Time between samples of the stimulus [s].
    behavior
        Features of each behavior that is read or decoded.

    Examples
    --------
    >>> NeuroformerSizes(n_units=30, behavior={"speed": 1}).n_units
    30
    """

    n_units: int
    stimulus: tuple[int, ...] = ()
    stimulus_step: float = 0.0
    behavior: dict[str, int] = field(default_factory=dict)
