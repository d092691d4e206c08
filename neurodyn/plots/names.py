"""Names that never cover one another: what finds no room at drawing time is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, YAxis
from matplotlib.backend_bases import RendererBase
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, Locator
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

__all__ = ["SMALL", "Name", "add_names", "name_around", "name_ticks"]

SMALL = 6.0
"""Size of names of which there are many, in points."""
LINE = 1.25
"""Height of a line of text in font sizes."""
LETTER = 0.62
"""Width of a letter in font sizes, rather too much than too little."""
POINTS_PER_INCH = 72.0


class Name(Text):
    """Text that is not drawn where it would cover a name of the same group drawn before it.

    Parameters
    ----------
    x, y, text
        Where, and what it says.
    placed
        Outlines of what the group has drawn so far, shared by its names.
    first
        The first name of the group begins the drawing anew.
    room
        Width and height in data units that the text must fit into, if any.
    **style
        As for text.
    """

    def __init__(
        self,
        x: float,
        y: float,
        text: str,
        *,
        placed: list[Path],
        first: bool,
        room: tuple[float, float] | None = None,
        **style: Any,
    ) -> None:
        super().__init__(x, y, text, rotation_mode="anchor", clip_on=False, **style)
        self.placed, self.first, self.room = placed, first, room
        self.shown = False

    def draw(self, renderer: RendererBase) -> None:
        """Draw the text if there is room for it."""
        if self.first:
            self.placed.clear()
        outline = self.outline(renderer)
        self.shown = self._fits(outline) and not any(
            outline.intersects_path(other) for other in self.placed
        )
        if self.shown:
            self.placed.append(outline)
            super().draw(renderer)
        self.stale = False

    def outline(self, renderer: RendererBase) -> Path:
        """Return the rectangle around the text on the page, turned as the text is."""
        angle = self.get_rotation()
        self.set_rotation(0.0)
        box = self.get_window_extent(renderer)
        self.set_rotation(angle)
        anchor = self.get_transform().transform(self.get_position())
        # lines may come closer than their boxes, which hold room above and below the letters
        aside = 0.2 * box.height
        corners = box.padded(aside, -0.05 * box.height).corners()[[0, 1, 3, 2, 0]]
        turn = Affine2D().rotate_deg_around(anchor[0], anchor[1], angle)
        return Path(np.asarray(turn.transform(corners)))

    def _fits(self, outline: Path) -> bool:
        if self.room is None or self.axes is None:
            return True
        room = np.abs(np.diff(self.axes.transData.transform([(0.0, 0.0), self.room]), axis=0))
        return bool((outline.get_extents().size <= room[0]).all())


def add_names(
    axes: Axes,
    names: Sequence[str],
    points: NDArray[Any],
    *,
    rotation: Iterable[float] | None = None,
    align: Iterable[str] | None = None,
    colors: Iterable[Any] | None = None,
    rooms: Iterable[tuple[float, float]] | None = None,
    **style: Any,
) -> list[Name]:
    """Write names at points ``(name, 2)`` in data units; earlier ones take precedence.

    Parameters
    ----------
    axes, names, points
        Where to draw, what, and where.
    rotation, align, colors, rooms
        Of each name: degrees, horizontal alignment, colour, and the width and height that
        it must fit into.
    **style
        Of all names.
    """
    placed: list[Path] = []
    each: dict[str, Iterable[Any] | None] = {
        "rotation": rotation,
        "horizontalalignment": align,
        "color": colors,
        "room": rooms,
    }
    columns = {key: list(values) for key, values in each.items() if values is not None}
    made = []
    for index, (name, (x, y)) in enumerate(zip(names, points)):
        own = {key: values[index] for key, values in columns.items()}
        text = Name(x, y, name, placed=placed, first=index == 0, **{**style, **own})
        axes.add_artist(text)
        made.append(text)
    return made


def name_around(
    axes: Axes, names: Sequence[str], angles: NDArray[np.float64], *, radius: float
) -> list[Name]:
    """Write names around a circle, each along its radius.

    Parameters
    ----------
    axes
        Axes in which the circle is round, or polar ones.
    names, angles
        Names and their places [rad], counter-clockwise from the right.
    radius
        In data units.
    """
    degrees = np.rad2deg(angles) % 360.0
    left = (degrees > 90.0) & (degrees < 270.0)
    points = np.stack([angles, np.full(len(angles), radius)], axis=1)
    if axes.name != "polar":
        points = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return add_names(
        axes,
        names,
        points,
        rotation=np.where(left, degrees - 180.0, degrees),
        align=np.where(left, "right", "left").tolist(),
        fontsize=SMALL,
        verticalalignment="center_baseline",
        transform=axes.transData,
    )


def name_ticks(axis: Axis, names: Sequence[str], *, size: float, upright: bool = False) -> None:
    """Name the places 0, 1, … along an axis; every second, third, … if room is short.

    Parameters
    ----------
    axis
        Axis of the plot.
    names
        Names of the places in order.
    size
        Of the letters in points.
    upright
        Turn the names of a horizontal axis by a quarter.
    """
    lines_up = upright or isinstance(axis, YAxis)
    longest = max(map(len, names), default=1)
    axis.set_major_locator(_Roomy(len(names), size * (LINE if lines_up else LETTER * longest + 1)))
    axis.set_major_formatter(FuncFormatter(lambda place, _: names[round(place)]))
    axis.set_tick_params(labelsize=size, labelrotation=90.0 if upright else 0.0, length=0, pad=2)


class _Roomy(Locator):
    """Ticks at whole numbers, no closer than some points on the page."""

    def __init__(self, n_places: int, least_points: float) -> None:
        self.n_places, self.least_points = n_places, least_points

    def __call__(self) -> list[float]:
        axis: Any = self.axis
        return self.tick_values(*axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        axis: Any = self.axis
        box = axis.axes.bbox
        pixels = box.height if isinstance(axis, YAxis) else box.width
        points = pixels * POINTS_PER_INCH / axis.axes.figure.dpi
        step = self.least_points * abs(vmax - vmin) / max(points, 1e-9)
        return [float(place) for place in range(0, self.n_places, max(1, ceil(step - 1e-9)))]
