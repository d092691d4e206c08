"""The page itself: sections rendered by one template, figures inside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from neurodyn.plots.embed import data_uris
from neurodyn.provenance import atomic_path, now
from neurodyn.report.parts import Section
from neurodyn.report.run import read_run
from neurodyn.report.sections import reproduce, sections_of

__all__ = ["write_report"]

TEMPLATE = Path(__file__).with_name("template.html.jinja")


def write_report(
    folder: str | Path,
    *,
    title: str | None = None,
    question: str | None = None,
    notes: Sequence[str] = (),
    sections: Sequence[Section] = (),
) -> Path:
    """Write ``report.html`` into a run folder.

    Parameters
    ----------
    folder
        A run folder; see the module for what is read.
    title
        Heading; made of the estimator's name if not given.
    question
        What was asked, in a sentence; described from the data if not given.
    notes
        Warnings that a reader must see.
    sections
        Further sections, placed before how to reproduce the run.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    EmptySelectionError
        If nothing in it can be reported.
    CorruptFileError
        If one of its files cannot be read.
    """
    run = read_run(folder)
    own = sections_of(run, question=question, notes=notes)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title or f"{run.model}: report of a run",
        meta=f"run {run.name} · written {now()} · neurodyn {run.version}",
        sections=[_rendered(section) for section in [*own, *sections, reproduce(run)]],
    )
    path = Path(folder) / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _rendered(section: Section) -> dict[str, Any]:
    figures = [
        dict(zip(("light", "dark"), data_uris(drawing)), caption=drawing.caption)
        for drawing in section.drawings
    ]
    return {**vars(section), "figures": figures}
