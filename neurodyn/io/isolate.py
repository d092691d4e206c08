"""Functions on doubtful files, run in a child process that may crash, hang or swell.

A damaged HDF5 file can kill the process that reads it. Here the child dies instead: it has
limits on memory and an alarm, and gets and gives JSON only. One child serves many items; after
a crash the next one goes on with the item that follows.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from neurodyn import errors
from neurodyn.errors import CorruptFileError, DataQualityWarning, NeurodynError, SizeBudgetError
from neurodyn.io.limits import format_bytes, get_limits, parse_bytes

__all__ = ["map_isolated", "run_isolated"]

SERVE = "from neurodyn.io.isolate import serve; serve()"
GRACE = 5.0
START_SECONDS = 60.0
PARTS = ("what", "where", "found", "expected", "hint")


def run_isolated(
    function: Callable[..., Any],
    *arguments: Any,
    seconds: float = 60.0,
    memory: float | str | None = None,
) -> Any:
    """Call a function in a child process and return its result.

    Parameters
    ----------
    function
        A function of a module, not a lambda or method.
    *arguments
        JSON values or paths; the first is named in errors.
    seconds
        Time for the call; then the child is killed.
    memory
        Bytes that the call may add to the child; default ``get_limits().memory``.

    Returns
    -------
    Any
        The result as JSON gives it back: tuples are lists.

    Raises
    ------
    NeurodynError
        What the function raised, of the same class.
    FileNotFoundError
        If the function raised it.
    CorruptFileError
        If the child crashed or did not finish, or the function raised anything else.

    Examples
    --------
    >>> import math
    >>> run_isolated(math.sqrt, 4.0)
    2.0
    """
    (result,) = map_isolated(function, [arguments], seconds=seconds, memory=memory)
    if isinstance(result, Exception):
        raise result
    return result


def map_isolated(
    function: Callable[..., Any],
    items: Iterable[tuple[Any, ...]],
    *,
    seconds: float = 60.0,
    memory: float | str | None = None,
) -> Iterator[Any]:
    """Call a function for each tuple of arguments, in child processes one after the other.

    Parameters
    ----------
    function, seconds, memory
        As for :func:`run_isolated`, for each call.
    items
        Arguments of each call.

    Yields
    ------
    Any
        The result of each call, or the exception that :func:`run_isolated` would raise.

    Examples
    --------
    >>> import math
    >>> [type(result).__name__ for result in map_isolated(math.sqrt, [(4.0,), (-1.0,)])]
    ['float', 'CorruptFileError']
    """
    budget = get_limits().memory if memory is None else parse_bytes(memory)
    child: _Child | None = None
    try:
        for arguments in items:
            child = child or _Child(function, seconds, budget)
            answer = child.ask(arguments)
            if answer is None:
                failure = child.close()
                child = None
                yield _crashed(arguments, failure, seconds)
            else:
                yield _received(answer, arguments)
    finally:
        if child is not None:
            child.close()


class _Child:
    """A process that answers one line of JSON with another."""

    def __init__(self, function: Callable[..., Any], seconds: float, memory: int) -> None:
        self._seconds = seconds
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, closed with the child
        paths = [str(Path(errors.__file__).parents[1]), *filter(None, sys.path)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
            text=True,
            encoding="utf-8",
        )
        name = [function.__module__, function.__qualname__]
        if self._exchange([*name, seconds, memory], START_SECONDS) != ["ready"]:
            raise RuntimeError(f"the isolated process did not start: {self.close()}")

    def ask(self, arguments: tuple[Any, ...]) -> Any:
        """Return the answer to one call, or None if there is none."""
        return self._exchange(list(arguments), self._seconds + GRACE)

    def close(self) -> str:
        """End the process and return how it ended."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._stderr.seek(0)
        last = self._stderr.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        self._stderr.close()
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ", ".join([reason, *last])

    def _exchange(self, message: Any, seconds: float) -> Any:
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        stdin, stdout = self._process.stdin, self._process.stdout
        try:
            if stdin is None or stdout is None:
                return None
            stdin.write(json.dumps(message, default=os.fspath) + "\n")
            stdin.flush()
            line = stdout.readline()
            return json.loads(line) if line.endswith("\n") else None
        except (OSError, json.JSONDecodeError):
            return None
        finally:
            timer.cancel()


def serve() -> None:
    """Answer calls on stdin until it ends; run in the child."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the function prints must not look like an answer
    _serve(sys.stdin, answers)


def _serve(calls: IO[str], answers: IO[str]) -> None:
    module, name, seconds, memory = json.loads(calls.readline())
    function = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    _limit_memory(memory)
    print(json.dumps(["ready"]), file=answers, flush=True)
    for line in calls:
        with _alarm(seconds):
            answer = _answer(function, json.loads(line))
        print(json.dumps(answer), file=answers, flush=True)


def _answer(function: Any, arguments: list[Any]) -> dict[str, Any]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            answer = {"result": function(*arguments)}
            json.dumps(answer)
        except MemoryError:
            answer = {"error": "SizeBudgetError", "parts": {}}
        except FileNotFoundError as error:
            answer = {"error": "FileNotFoundError", "message": str(error)}
        except NeurodynError as error:
            parts = {part: getattr(error, part) for part in PARTS}
            texts = {key: None if value is None else str(value) for key, value in parts.items()}
            answer = {"error": type(error).__name__, "parts": texts}
        except Exception as error:
            answer = {"error": "", "message": f"{type(error).__name__}: {error}"}
    messages = [str(w.message) for w in caught if issubclass(w.category, DataQualityWarning)]
    return {**answer, "warnings": messages}


def _received(answer: dict[str, Any], arguments: tuple[Any, ...]) -> Any:
    """Return the result, or the exception that was raised in the child."""
    for message in answer["warnings"]:
        warnings.warn(message, DataQualityWarning, stacklevel=4)
    if "error" not in answer:
        return answer["result"]
    name, where = answer["error"], _named(arguments)
    if name == "FileNotFoundError":
        return FileNotFoundError(answer["message"])
    if name == "SizeBudgetError" and not answer["parts"]:
        limit = format_bytes(get_limits().memory)
        return SizeBudgetError(
            "reading takes more memory than the budget",
            where=where,
            found="a failed allocation",
            expected=f"at most {limit}",
            hint="set_limits(memory=...) or NEURODYN_LIMIT_MEMORY",
        )
    kind = getattr(errors, name, None) if name else None
    if isinstance(kind, type) and issubclass(kind, NeurodynError):
        # some have a constructor of their own; errors of files have the memory layout of OSError
        make = OSError.__new__ if issubclass(kind, OSError) else kind.__new__
        error = make(kind)
        NeurodynError.__init__(error, **answer["parts"])
        return error
    found = answer.get("message") or f"{name}: {answer['parts']['what']}"
    return _unreadable("file cannot be read", where, found)


def _crashed(arguments: tuple[Any, ...], failure: str, seconds: float) -> CorruptFileError:
    hung = failure.startswith(("SIGALRM", "SIGKILL", "SIGXCPU"))
    what = f"reading did not end within {seconds:g} s" if hung else "reading crashed"
    return _unreadable(what, _named(arguments), failure)


def _unreadable(what: str, where: str | None, found: str) -> CorruptFileError:
    return CorruptFileError(
        what,
        where=where,
        found=found,
        expected="a file that can be read through",
        hint="get the file again and compare its size and checksum",
    )


def _named(arguments: tuple[Any, ...]) -> str | None:
    return str(arguments[0]) if arguments else None


def _limit_memory(memory: int) -> None:
    """Let the address space grow by ``memory`` bytes from here; not every system can."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Kill this process after a time, also while it runs in C code."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
