"""The sections of a report on a search: trials ranked, their curves, who went on from whom."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from neurodyn.plots import Drawing
from neurodyn.plots.sweep import trial_curves
from neurodyn.report.parts import Section, Table

__all__ = ["ranked", "search_sections"]

RULES = {
    "random": "Every trial was trained to the end.",
    "asha": "Asynchronous successive halving: at each rung the best third went on; the first trial"
    " was trained to the end in any case.",
    "pbt": "Population based training: after each stretch the worst quarter went on from the"
    " weights of the best quarter, with changed settings.",
}


def search_sections(results: xr.Dataset) -> list[Section]:
    """Return the sections of a search, none for other results.

    Parameters
    ----------
    results
        Of :func:`neurodyn.workflow.search`.

    Examples
    --------
    >>> search_sections(xr.Dataset())
    []
    """
    if "curve" not in results or "best" not in results.attrs:
        return []
    sections = [_ranking(results), _curves(results)]
    if "fork" in results.dims:
        sections.append(_lineage(results))
    return sections


def ranked(results: xr.Dataset) -> list[dict[str, Any]]:
    """Return a row for each trial of a search, the best first: score, steps, status, settings.

    Parameters
    ----------
    results
        Of :func:`neurodyn.workflow.search`.
    """
    sign = 1 if results.attrs["mode"] == "min" else -1
    order = np.argsort(sign * results["score"].values, kind="stable")
    own = [str(n) for n, one in results.coords.items() if one.dims == ("trial",) and n != "trial"]
    columns = ("trial", "score", "best_step", "status", "step", *own, "run")
    return [{name: results[name].values[place].item() for name in columns} for place in order]


def _ranking(results: xr.Dataset) -> Section:
    rows, metric, best = ranked(results), results.attrs["metric"], results.attrs["best"]
    cells = [[f"{v:.5g}" if isinstance(v, float) else v for v in row.values()] for row in rows]
    start = float(results["score"][0])
    lowest = float(results["score"].sel(trial=best))
    failed = results["error"].values[results["status"].values == "failed"]
    return Section(
        "Trials",
        text=[
            RULES[results.attrs["method"]],
            f"The best trial, {best}, has a validation {metric} of {lowest:.5g}; the settings that "
            f"the search started from, trial {results['trial'].values[0]}, have {start:.5g}. The "
            "best of many scores is too good by chance: judge it on other data.",
        ],
        notes=[f"A trial failed: {error.splitlines()[0]}" for error in failed],
        tables=[
            Table(
                cells,
                [metric if name == "score" else name.replace("__", ".") for name in rows[0]],
                "Ranked by their best validation score.",
                marked=[index for index, row in enumerate(rows) if row["trial"] == best],
            )
        ],
        code=[("with the best settings", "neurodyn fit MODEL DATA --config best.toml")],
    )


def _curves(results: xr.Dataset) -> Section:
    caption = "Validation score of each trial over its training."
    return Section("Curves", drawings=[Drawing(partial(_draw, results=results), caption)])


def _draw(figure: Figure, results: xr.Dataset) -> None:
    trial_curves(results, ax=figure.add_subplot())


def _lineage(results: xr.Dataset) -> Section:
    columns = ("fork_step", "child", "donor", "fork_settings")
    rows = [
        [value.item() for value in values]
        for values in zip(*(results[name].values for name in columns))
    ]
    return Section(
        "Lineage",
        text=["Each line: a trial took weights and optimizer of another one and changed settings."],
        tables=[Table(rows, ["step", "trial", "from", "settings since"])],
    )
