"""Windows over binned recordings: index, splits and samplers; xarray stops here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neurodyn.windows.cut import cut_blocks as cut_blocks
    from neurodyn.windows.index import Windows as Windows
    from neurodyn.windows.masks import DroppedInput as DroppedInput
    from neurodyn.windows.masks import coordinated_dropout as coordinated_dropout
    from neurodyn.windows.roi_masks import SCHEMES as SCHEMES
    from neurodyn.windows.roi_masks import draw_mask as draw_mask
    from neurodyn.windows.roi_masks import draw_ratio as draw_ratio
    from neurodyn.windows.runs import RunWindows as RunWindows
    from neurodyn.windows.samplers import BatchSampler as BatchSampler
    from neurodyn.windows.spike_windows import SpikeTensors as SpikeTensors
    from neurodyn.windows.spike_windows import SpikeWindows as SpikeWindows
    from neurodyn.windows.splits import Split as Split
    from neurodyn.windows.splits import blocked_split as blocked_split
    from neurodyn.windows.splits import check_leakage as check_leakage
    from neurodyn.windows.splits import k_fold as k_fold
    from neurodyn.windows.splits import trial_split as trial_split
    from neurodyn.windows.subject_splits import check_groups as check_groups
    from neurodyn.windows.subject_splits import grouped_k_fold as grouped_k_fold
    from neurodyn.windows.subject_splits import leave_group_out as leave_group_out
    from neurodyn.windows.time_folds import blocked_folds as blocked_folds
    from neurodyn.windows.time_folds import blocked_holdout as blocked_holdout
    from neurodyn.windows.time_folds import observed_time as observed_time

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cut": ["cut_blocks"],
        "index": ["Windows"],
        "masks": ["DroppedInput", "coordinated_dropout"],
        "roi_masks": ["SCHEMES", "draw_mask", "draw_ratio"],
        "runs": ["RunWindows"],
        "samplers": ["BatchSampler"],
        "spike_windows": ["SpikeTensors", "SpikeWindows"],
        "splits": ["Split", "blocked_split", "check_leakage", "k_fold", "trial_split"],
        "subject_splits": ["check_groups", "grouped_k_fold", "leave_group_out"],
        "time_folds": ["blocked_folds", "blocked_holdout", "observed_time"],
    },
)
