"""Defects of the public code, each a switch, so that its results can be understood."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PublishedQuirks"]


@dataclass(frozen=True, kw_only=True)
class PublishedQuirks:
    """What the public code does and ours does not; everything is off unless it is asked for.

    Independent heads and any order of spikes are published too; they are settings of
    :class:`~neurodyn.models.neuroformer.config.NeuroformerConfig`: ``joint_head=False`` and
    ``canonical=False``.

    Parameters
    ----------
    behavior_layer_norm
        Layer normalisation over the features of a behavior sample. Of one feature it leaves
        nothing but a constant, of two the sign of their difference: what is read is that a sample
        exists, never its value.
    video_without_place
        Patches of a video have no code of their place and time, so that a scene and its mirror
        image are told apart only by what the patches hold.
    attend_padding
        Padding and samples that are missing are read like others and counted in every mean, so
        that states depend on the windows beside them in a batch. Padding here goes to the longest
        window of the batch, there to a fixed length.
    fused_alignment
        Alignment of states that have already read what they are aligned with, in one direction,
        at the temperature 0.5 and with every other window as a negative. It is solved by copying
        and says nothing of the spikes. Projections stay one for each modality.
    future_frames
        The stimulus is read up to a window's length after the end of the window.

    References
    ----------
    Public code of Antoniades et al., arXiv 2311.00136, version 1.5, as audited.

    Examples
    --------
    >>> PublishedQuirks().future_frames, PublishedQuirks.v1_5().future_frames
    (False, True)
    """

    behavior_layer_norm: bool = False
    video_without_place: bool = False
    attend_padding: bool = False
    fused_alignment: bool = False
    future_frames: bool = False

    @classmethod
    def v1_5(cls) -> PublishedQuirks:
        """Return the defects of version 1.5, which are all of them."""
        return cls(
            behavior_layer_norm=True,
            video_without_place=True,
            attend_padding=True,
            fused_alignment=True,
            future_frames=True,
        )
