"""Figures as data URIs for a page, in a light and a dark version."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from neurodyn.plots.style import theme

__all__ = ["Drawing", "data_uris"]

LARGEST_SVG = 400_000
SHARP = 160


@dataclass(frozen=True)
class Drawing:
    """How to draw a figure: a function that fills it, a caption and its size in inches."""

    draw: Callable[[Figure], Any]
    caption: str
    size: tuple[float, float] = (6.5, 3.0)


def data_uris(drawing: Drawing) -> tuple[str, str]:
    """Return a drawing as two data URIs, light and dark: SVG, or PNG if that is smaller.

    Examples
    --------
    >>> light, dark = data_uris(Drawing(lambda figure: figure.add_subplot(), "empty axes"))
    >>> light[:26], light == dark
    ('data:image/svg+xml;base64,', False)
    """
    return _data_uri(drawing, dark=False), _data_uri(drawing, dark=True)


def _data_uri(drawing: Drawing, *, dark: bool) -> str:
    with theme(dark=dark):
        # not a pyplot figure: nothing is left open, and no screen is asked for
        figure = Figure(figsize=drawing.size, layout="constrained")
        drawing.draw(figure)
        content, kind = _saved(figure, "svg", metadata={"Date": None}), "svg+xml"
        if len(content) > LARGEST_SVG:
            content, kind = _saved(figure, "png", dpi=SHARP), "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _saved(figure: Figure, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, **options)
    return buffer.getvalue()
