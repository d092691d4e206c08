"""Stopping a run from outside: once for a clean end, twice for an immediate one."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["StopRequest", "TrainingInterrupted", "stop_on_signals"]


class TrainingInterrupted(SystemExit):
    """Training was stopped by a signal.

    Uncaught, it ends the process with the exit code that shells expect: 143 after SIGTERM,
    130 after Ctrl-C.

    Parameters
    ----------
    number
        The signal.
    message
        What was saved, and where.

    Examples
    --------
    >>> TrainingInterrupted(signal.SIGTERM, "stopped").code
    143
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(128 + number)
        self.number, self.message = number, message

    def __str__(self) -> str:
        return self.message


class StopRequest:
    """Remembers the first signal and raises at the second."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal, as a handler does."""
        if self.number is not None:
            raise TrainingInterrupted(number, "stopped at once by a second signal")
        self.number = number


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn SIGTERM and Ctrl-C into a request to stop, for the length of the block.

    Python delivers signals to the main thread only; in another thread nothing is installed
    and the request never comes.

    Examples
    --------
    >>> with stop_on_signals() as stop:
    ...     signal.raise_signal(signal.SIGTERM)
    ...     stop.number == signal.SIGTERM
    True
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    watched = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in watched}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            # None: the handler was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
