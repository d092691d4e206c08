"""Recording to recording, one verb per file; nothing here knows files or torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neurodyn.transforms.alignment import align as align
    from neurodyn.transforms.averaging import psth as psth
    from neurodyn.transforms.binning import bin_spikes as bin_spikes
    from neurodyn.transforms.bold_resampling import resample_bold as resample_bold
    from neurodyn.transforms.calcium_events import calcium_events as calcium_events
    from neurodyn.transforms.concatenation import concatenate_sessions as concatenate_sessions
    from neurodyn.transforms.denoising import denoise as denoise
    from neurodyn.transforms.intervals import difference as difference
    from neurodyn.transforms.intervals import intersection as intersection
    from neurodyn.transforms.intervals import union as union
    from neurodyn.transforms.parcellation import parcellate as parcellate
    from neurodyn.transforms.resampling import decimate as decimate
    from neurodyn.transforms.resampling import match as match
    from neurodyn.transforms.resampling import resample as resample
    from neurodyn.transforms.restriction import restrict as restrict
    from neurodyn.transforms.selection import select_trials as select_trials
    from neurodyn.transforms.selection import select_units as select_units
    from neurodyn.transforms.smoothing import smooth as smooth
    from neurodyn.transforms.smoothing import smoothing_kernel as smoothing_kernel
    from neurodyn.transforms.stacking import stack_animals as stack_animals
    from neurodyn.transforms.stimulus_alignment import align_stimuli as align_stimuli
    from neurodyn.transforms.tuning import tuning_curves as tuning_curves

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "alignment": ["align"],
        "averaging": ["psth"],
        "binning": ["bin_spikes"],
        "bold_resampling": ["resample_bold"],
        "calcium_events": ["calcium_events"],
        "denoising": ["denoise"],
        "parcellation": ["parcellate"],
        "intervals": ["difference", "intersection", "union"],
        "restriction": ["restrict"],
        "concatenation": ["concatenate_sessions"],
        "resampling": ["decimate", "match", "resample"],
        "selection": ["select_trials", "select_units"],
        "smoothing": ["smooth", "smoothing_kernel"],
        "stacking": ["stack_animals"],
        "stimulus_alignment": ["align_stimuli"],
        "tuning": ["tuning_curves"],
    },
)
