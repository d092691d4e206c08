"""One self-contained HTML page per run: what was asked, what came out, how to do it again.

A run folder holds, as far as there are any (a section without its file is left out):

``results.nc``
    One dataset, as :func:`merge_results` makes it: ``rate`` ``(trial, time, unit)`` [spikes/s];
    ``true_rate`` of the same form; ``count`` and ``observed``; ``latent``
    ``(trial, time, factor)``; ``frequency`` and ``quality`` ``(wave_number, mode)``; ``cost``
    and ``co_bps`` of shuffles ``(part)``.
``metrics.json``
    ``headline``: the model that the run is about; ``scores``: rows of ``model, metric, score``
    and perhaps ``low, high, units``; ``differences``: rows of ``model, reference, metric,
    difference, low, high``, paired by trial; ``notes``: sentences.
    Of a BrainMAE see :mod:`neurodyn.report.brainmae`.
``rank_scan.nc``, ``stages.nc``, ``stimuli.nc``
    Of a dynamic connectome, whose components ``results.nc`` holds.
``history.jsonl``, ``config.toml``, ``manifest.json``
    As training and the estimator wrote them. The manifest's ``command`` is how to repeat it.

The page needs nothing from outside and runs no script; every text from a file is escaped.
"""

from neurodyn.plots.embed import Drawing
from neurodyn.report.brainmae import brainmae_results
from neurodyn.report.page import write_report
from neurodyn.report.parts import Section, Table
from neurodyn.report.run import Run, merge_results, read_run

__all__ = [
    "Drawing",
    "Run",
    "Section",
    "Table",
    "brainmae_results",
    "merge_results",
    "read_run",
    "write_report",
]
