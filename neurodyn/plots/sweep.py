"""How the trials of a search went: their validation curves."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes

from neurodyn.errors import EmptySelectionError
from neurodyn.plots.style import axes_or_new, ink, palette, tidy

__all__ = ["trial_curves"]


def trial_curves(results: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the validation score of all trials over training steps.

    The best trial and the first one, with the settings that the search started from, stand out.
    A trial that went on from another one leaves its curve where it did so.

    Parameters
    ----------
    results
        Of :func:`neurodyn.workflow.search`: ``curve`` ``(trial, validation)``; attrs ``best``
        and ``metric``.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If there are no curves.

    Examples
    --------
    >>> curve = (("trial", "validation"), [[2.0, 1.0], [1.5, 0.5]])
    >>> found = xr.Dataset({"curve": curve}, {"trial": ["0", "1"], "validation": [10, 20]})
    >>> trial_curves(found.assign_attrs(best="1", metric="nll")).get_ylabel()
    'validation nll'
    """
    if "curve" not in results or not results["curve"].size:
        raise EmptySelectionError("the results hold no curves of trials", expected="curve")
    axes = axes_or_new(ax)
    step, names = results["validation"].values, results["trial"].values.tolist()
    first, best = names[0], results.attrs.get("best")
    for name, curve in zip(names, results["curve"].values):
        marked = {first: (ink(), "start"), best: (palette()[0], f"best: {best}")}
        color, label = marked.get(name, (palette()[5], None))
        width = 1.6 if label else 0.8
        axes.plot(step, curve, color=color, linewidth=width, label=label, zorder=2 + bool(label))
    axes.margins(x=0.02)
    axes.legend()
    tidy(axes, xlabel="training step", ylabel=f"validation {results.attrs.get('metric', 'score')}")
    return axes
