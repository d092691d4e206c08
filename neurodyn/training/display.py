"""A progress bar for people; silent when nobody is at a terminal."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

__all__ = ["progress_bar", "tracked"]

T = TypeVar("T")


def tracked(items: Sequence[T], label: str, *, shown: bool = True) -> Iterator[T]:
    """Go through items behind a progress bar, which is silent without a terminal.

    Examples
    --------
    >>> list(tracked([1, 2], "restarts"))
    [1, 2]
    """
    if not (shown and sys.stderr.isatty()):
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, label, console=Console(stderr=True), transient=True)


@contextlib.contextmanager
def progress_bar(
    n_steps: int, start: int, *, shown: bool
) -> Iterator[Callable[[int, float, float | None], None]]:
    """Give a function that draws ``(step, loss, best score)``.

    Parameters
    ----------
    n_steps
        Length of the bar.
    start
        Steps done already.
    shown
        ``False`` draws nothing, and neither does a standard error that is no terminal.

    Examples
    --------
    >>> with progress_bar(10, 0, shown=False) as draw:
    ...     draw(1, 0.5, None)
    """
    if not (shown and sys.stderr.isatty()):
        yield lambda step, loss, best: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=n_steps, completed=start, note="")

        def draw(step: int, loss: float, best: float | None) -> None:
            score = "" if best is None or math.isnan(best) else f"  best {best:.4g}"
            bar.update(task, completed=step, note=f"loss {loss:.4g}{score}")

        yield draw
