"""The sections of a report on a dynamic connectome."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from neurodyn import plots
from neurodyn.plots import Drawing
from neurodyn.report.parts import Section, Table
from neurodyn.report.run import Run

__all__ = ["connectome_sections", "sentence"]

SIGNIFICANT = 0.05
NAMED_NODES = 8


def connectome_sections(run: Run) -> list[Section]:
    """Return the sections for which a run has something to show, in the order of the page."""
    if not {"pair_factor", "community"} <= {*run.results}:
        return []
    made = _findings(run), _components(run), _rank(run), _stages(run), _attribution(run)
    return [section for section in made if section is not None]


def sentence(results: xr.Dataset, component: str) -> str:
    """Say in words what a component is.

    Parameters
    ----------
    results
        Components with their communities and, where known, attribution.
    component
        Label.

    Returns
    -------
    str
        Which nodes, when, after which stimulus, in how many animals.
    """
    own = results.sel(component=component)
    course = own["time_factor"]
    dim = str(own["pair_factor"].dims[0])
    share = float(own["strength"] / results["strength"].sum())
    if not share > 0:
        return f"Component {component} is empty: fewer components explain as much."
    peak = float(course["time"][int(course.values.argmax())])
    n_communities = int(own["n_communities"])
    if n_communities > 1:
        who = f"falls into {n_communities} communities{_tightest(own, dim)}"
    else:
        who = "has no communities: its graph is explained best as one whole"
    when = f"it peaks at {peak:.4g} s"
    segment = _segment(course)
    if segment:
        when += f", in the part {segment!r}"
    return (
        f"Component {component} ({share:.0%} of the strengths) {who}; {when};"
        f" {_follows(own)}{_animals(own)}."
    )


def _tightest(own: xr.Dataset, dim: str) -> str:
    """Return the members of the community with the largest mean affinity inside."""
    strength = own["block_activity"].sum("time", min_count=1).values
    if not np.isfinite(strength).any():
        return ", each of one node"
    members = own[dim].values[own["community"].values == int(np.nanargmax(strength))]
    return f"; the most tightly bound is {_listed(members)}"


def _listed(members: Any) -> str:
    names = ", ".join(map(str, members[:NAMED_NODES]))
    return names + (f" and {len(members) - NAMED_NODES} more" if len(members) > NAMED_NODES else "")


def _segment(course: xr.DataArray) -> str:
    if "segment" not in course.coords:
        return ""
    return str(course["segment"].values[int(course.values.argmax())])


def _follows(own: xr.Dataset) -> str:
    if "q_value" not in own:
        return "no stimulus was tested"
    found = [
        f"{name} ({_times(float(own['stimulus_index'].sel(stimulus=name)))},"
        f" q = {float(own['q_value'].sel(stimulus=name)):.2g})"
        for name in own["stimulus"].values.tolist()
        if float(own["q_value"].sel(stimulus=name)) < SIGNIFICANT
    ]
    return f"it follows {' and '.join(found)}" if found else "no stimulus accounts for it"


def _times(index: float) -> str:
    return f"{index:.1f} times as strong" if np.isfinite(index) else "at no other time"


def _animals(own: xr.Dataset) -> str:
    n_animals = own.sizes["animal"]
    if n_animals == 1:
        return ""
    return f"; it spreads over {float(own['participation']):.1f} of {n_animals} animals"


def _findings(run: Run) -> Section:
    results = run.results
    names = results["component"].values.tolist()
    rows = [
        (
            name,
            f"{float(own['strength']):.4g}",
            int(own["n_communities"]),
            str(own["family"].item()),
            _number(float(own["description_length_one"] - own["description_length"])),
            f"{float(own['participation']):.2f}",
        )
        for name in names
        for own in [results.sel(component=name)]
    ]
    head = (
        "component",
        "strength",
        "communities",
        "weights",
        "nats saved over one community",
        "participation",
    )
    return Section(
        "What was found",
        text=[sentence(results, name) for name in names],
        tables=[Table(rows, head)],
    )


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1f}"


def _components(run: Run) -> Section:
    results, stimuli = run.results, run.others.get("stimuli")
    size = results["pair_factor"].sizes
    n_nodes = next(n for dim, n in size.items() if dim != "component")
    drawings = []
    for name in results["component"].values.tolist():
        panel = partial(_draw_panel, results=results, component=name, stimuli=stimuli)
        caption = f"Component {name}: its strongest pairs, its course in time, its animals."
        drawings.append(Drawing(panel, caption, (10.0, 3.4)))
        matrix = partial(_draw_matrix, results=results, component=name)
        caption = f"Affinities of component {name}, in the order of its communities."
        drawings.append(Drawing(matrix, caption, (6.4, 5.6)))
    notes = []
    if find_spec("mne_connectivity"):
        circle = partial(_draw_circle, results=results)
        drawings.append(Drawing(circle, "The strongest component as a circle.", (6.5, 6.5)))
    else:
        notes.append("For the circle of connections: pip install 'neurodyn[connectome]'.")
    return Section(f"Components of {n_nodes} nodes", notes=notes, drawings=drawings)


def _rank(run: Run) -> Section | None:
    scan = run.others.get("rank_scan")
    if scan is None:
        return None
    text = (
        "What speaks for each number of components: the error of every restart and, with several"
        " animals, of pairs held out in an animal; how alike the restarts are (stable from about"
        " 0.9); and the effective number of different components. Nothing is chosen by them."
    )
    drawing = Drawing(partial(_draw_scan, scan=scan), "Rank scan.", (9.5, 2.9))
    return Section("How many components", text=[text], drawings=[drawing])


def _stages(run: Run) -> Section | None:
    stages = run.others.get("stages")
    if stages is None:
        return None
    n_rows = -(-stages.sizes["stage"] // 6)
    strip = Drawing(
        partial(_draw_strip, stages=stages),
        "The graph of each stage: expected affinities, nodes in the same places.",
        (min(10.0, 2.0 * stages.sizes["stage"]), 2.2 * n_rows),
    )
    flow = Drawing(
        partial(_draw_flow, stages=stages),
        "Communities over the stages; grey: nodes in no community of an active component.",
        (9.5, 4.6),
    )
    drawings = [strip, flow] if stages.sizes["stage"] > 1 else [strip]
    return Section("Stages of the experiment", drawings=drawings)


def _attribution(run: Run) -> Section | None:
    results = run.results
    if "q_value" not in results:
        return None
    names = results["stimulus"].values.tolist()
    rows, marked = [], []
    for index, component in enumerate(results["component"].values.tolist()):
        own = results.sel(component=component)
        cells = [
            f"{float(own['stimulus_index'].sel(stimulus=s)):.2f}"
            f" (q = {float(own['q_value'].sel(stimulus=s)):.2g})"
            for s in names
        ]
        rows.append((component, *cells))
        if bool((own["q_value"] < SIGNIFICANT).any()):
            marked.append(index)
    text = (
        "Mean course during and after each stimulus over its mean elsewhere. P-values come from"
        " circular shifts, corrected over all cells of the table (Benjamini and Hochberg)."
    )
    table = Table(rows, ("component", *map(str, names)), marked=marked)
    return Section("Stimuli", text=[text], tables=[table])


def _draw_panel(
    figure: Figure, results: xr.Dataset, component: str, stimuli: xr.Dataset | None
) -> None:
    plots.component_panel(results, component, stimuli=stimuli, figure=figure)


def _draw_matrix(figure: Figure, results: xr.Dataset, component: str) -> None:
    plots.affinity_matrix(results, component, ax=figure.add_subplot())


def _draw_circle(figure: Figure, results: xr.Dataset) -> None:
    first = str(results["component"].values[0])
    plots.connectivity_circle(results, first, ax=figure.add_subplot(projection="polar"))


def _draw_scan(figure: Figure, scan: xr.Dataset) -> None:
    plots.rank_scan(scan, figure=figure)


def _draw_strip(figure: Figure, stages: xr.Dataset) -> None:
    plots.graph_strip(stages, figure=figure)


def _draw_flow(figure: Figure, stages: xr.Dataset) -> None:
    plots.alluvial(stages, ax=figure.add_subplot())
