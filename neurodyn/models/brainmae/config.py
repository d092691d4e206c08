"""Settings of BrainMAE in all of its variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from neurodyn.errors import ConfigError, one_of
from neurodyn.windows.roi_masks import SCHEMES

__all__ = ["BrainMAEConfig"]

_CHOICES = {
    "variant": ("sg", "ag", "fdg", "vanilla", "position"),
    "adaptive_bias": ("input", "embedding", "pair"),
    "pooling": ("flatten", "query"),
    "masking": SCHEMES,
}
_SIZES = (
    "n_segments",
    "node_size",
    "node_heads",
    "n_blocks",
    "readout_size",
    "n_queries",
    "state_size",
    "state_heads",
    "n_encoder_layers",
    "n_decoder_layers",
    "mlp_ratio",
)


@dataclass(frozen=True, kw_only=True)
class BrainMAEConfig:
    """Settings of BrainMAE; the number of ROIs, which the data decide, is not among them.

    Parameters
    ----------
    variant
        Where attention between ROIs comes from. ``"sg"``: from the learned ROI embeddings alone,
        so it is one matrix for all segments and subjects. ``"ag"``: the first block as in
        ``"sg"``, later ones from embeddings and signal. ``"fdg"``: all blocks from embeddings and
        signal. ``"vanilla"``: from the signal alone. ``"position"``: as ``"sg"`` with a fixed
        code of the ROI's number in place of the learned embedding.
    self_loops
        Lets a ROI attend to itself.
    adaptive_bias
        How embeddings enter attention that also reads the signal: ``"input"`` adds them to what
        queries and keys are made of, ``"embedding"`` adds their own similarity to the scores;
        ``"pair"`` leaves embeddings out, and every head learns a number for each pair of ROIs.
    segment_duration
        Length of a segment [s], a whole number of frames.
    n_segments
        Consecutive segments of a window.
    repetition_time
        Time between frames that the network works at [s]; runs are resampled to it.
    node_size, node_heads, n_blocks
        Features of a ROI in a segment and of its embedding; heads and blocks of the
        transient-state encoder.
    pooling
        From ROIs to one state per segment. ``"flatten"``: all ROIs side by side, which ties the
        weights to the atlas. ``"query"``: ``n_queries`` learned averages over ROIs, with weights
        from the embeddings, which do not depend on the number of ROIs.
    readout_size, n_queries
        Features that pooling reads of each ROI, or of each average.
    state_size, state_heads, n_encoder_layers, n_decoder_layers
        Features of a segment's state; heads of the transformers over segments and their layers.
    mlp_ratio
        Hidden units of the perceptrons as a multiple of the features.
    dropout
        Dropout inside the blocks and layers.
    roi_skip
        Hands the decoder each ROI's features of the encoder besides the segment's state: not part
        of the published model.
    masking
        Which ROIs are hidden, one of :data:`neurodyn.windows.roi_masks.SCHEMES`.
    mask_ratio
        Lowest and highest share that is hidden, drawn anew for every mini-batch; (0, 0) trains an
        autoencoder.
    validation_ratio
        Share that is hidden in validation, where masks are the same at every call.
    masked_weight
        Weight of the hidden entries' error; that of the visible ones has the rest.

    Raises
    ------
    ConfigError
        For a value outside its range.

    References
    ----------
    Yang et al., arXiv 2406.17086 (BrainMAE). Sizes are ours where the paper's are not known.

    Examples
    --------
    >>> config = BrainMAEConfig(segment_duration=15.0, repetition_time=1.5, n_segments=20)
    >>> config.n_frames, config.window_duration
    (10, 300.0)
    """

    variant: Literal["sg", "ag", "fdg", "vanilla", "position"] = "sg"
    self_loops: bool = False
    adaptive_bias: Literal["input", "embedding", "pair"] = "input"
    segment_duration: float = 15.0
    n_segments: int = 20
    repetition_time: float = 1.5
    node_size: int = 128
    node_heads: int = 8
    n_blocks: int = 3
    pooling: Literal["flatten", "query"] = "flatten"
    readout_size: int = 16
    n_queries: int = 32
    state_size: int = 256
    state_heads: int = 8
    n_encoder_layers: int = 4
    n_decoder_layers: int = 2
    mlp_ratio: int = 4
    dropout: float = 0.1
    roi_skip: bool = False
    masking: Literal["segment_roi", "tube", "network", "block_time"] = "segment_roi"
    mask_ratio: tuple[float, float] = (0.0, 0.8)
    validation_ratio: float = 0.4
    masked_weight: float = 0.75

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            one_of(name, getattr(self, name), allowed)
        for name in _SIZES:
            value = getattr(self, name)
            _check(name, value, _is_size(value), "a whole number, 1 or more")
        for name in ("segment_duration", "repetition_time"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "seconds above 0")
        frames = self.segment_duration / self.repetition_time
        whole = abs(frames - round(frames)) < 1e-6 * frames and round(frames) >= 1
        multiple = f"a multiple of repetition_time={self.repetition_time} s"
        _check("segment_duration", self.segment_duration, whole, multiple)
        for size, heads in (("node_size", "node_heads"), ("state_size", "state_heads")):
            fits = getattr(self, size) % getattr(self, heads) == 0
            _check(size, getattr(self, size), fits, f"a multiple of {heads}")
        _check("dropout", self.dropout, 0 <= self.dropout < 1, "from 0, below 1")
        _check("masked_weight", self.masked_weight, 0 <= self.masked_weight <= 1, "from 0 to 1")
        ratios = tuple(self.mask_ratio)
        rising = len(ratios) == 2 and 0 <= ratios[0] <= ratios[1] < 1
        _check("mask_ratio", self.mask_ratio, rising, "lowest and highest, from 0, below 1")
        inside = 0 < self.validation_ratio < 1
        _check("validation_ratio", self.validation_ratio, inside, "above 0, below 1")

    @property
    def n_frames(self) -> int:
        """Frames of a segment."""
        return round(self.segment_duration / self.repetition_time)

    @property
    def window_duration(self) -> float:
        """Length of a window [s]."""
        return self.n_segments * self.segment_duration


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check(name: str, value: object, valid: bool, expected: str) -> None:
    if not valid:
        raise ConfigError(f"invalid value for {name}", found=repr(value), expected=expected)
