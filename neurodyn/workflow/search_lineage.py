"""The record of a search: ``lineage.jsonl``, from which all trials are rebuilt.

One JSON object per line, each flushed to the disk before anything follows from it:

``search``
    The first line: what is searched, how, and on which data.
``plan``
    A trial: its settings and seed.
``start``
    A trial may train until a step.
``report``
    A validation score of a trial.
``exploit``
    Trials that go on from the checkpoint of a better one: child, donor, old and new settings.
``end``
    A trial is ``finished``, was ``stopped`` by the search, or ``failed``, with its error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from neurodyn.errors import CheckpointMismatchError, CorruptFileError
from neurodyn.training.history import History, Row, read_history

__all__ = ["Fork", "Lineage", "Trial"]

FORMAT = 1
TOLD = ("versions", "written")
"""Entries of the first line in which a search that goes on may differ."""


class Fork(NamedTuple):
    """A trial that goes on from the checkpoint of another one, with new settings."""

    child: str
    donor: str
    step: int
    settings: dict[str, Any]


@dataclass
class Trial:
    """What is known of one trial.

    Parameters
    ----------
    name
        Of the trial.
    settings
        Those that it has now.
    seed
        Of its training.
    run
        Name of its run folder; every fork has a new one, and members of a population share one,
        each with a folder in it.
    until
        Step up to which it may train so far.
    curve
        Validation score by step; of a fork those of its donor before it.
    status
        ``planned``, ``finished``, ``stopped`` or ``failed``.
    error
        Why it failed.
    forks
        Its exploits, oldest first.
    """

    name: str
    settings: dict[str, Any]
    seed: int
    run: str
    until: int = 0
    curve: dict[int, float] = field(default_factory=dict)
    status: str = "planned"
    error: str = ""
    forks: list[Fork] = field(default_factory=list)

    @property
    def group(self) -> str:
        """Name of the run folder that it shares with other members; its own if it has none."""
        return self.run.partition("/")[0]

    @property
    def step(self) -> int:
        """Last step with a score, 0 before the first."""
        return max(self.curve, default=0)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be trained."""
        return self.status != "planned"


class Lineage:
    """All trials of a search, kept on disk line by line.

    Parameters
    ----------
    path
        ``lineage.jsonl``; what it holds is taken up. Half a line at its end is dropped.
    about
        What is searched, how, and on which data, as JSON gives it back.

    Raises
    ------
    CheckpointMismatchError
        If the file is about another search.
    CorruptFileError
        If a line is no record of a search.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "lineage.jsonl"
    ...     lineage = Lineage(path, {"model": "gru"})
    ...     lineage.record("plan", trial="00", settings={}, seed=0)
    ...     lineage.record("report", trial="00", step=100, score=0.5)
    ...     lineage.close()
    ...     again = Lineage(path, {"model": "gru"})
    ...     again.close()
    >>> again.trials["00"].curve
    {100: 0.5}
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self.trials: dict[str, Trial] = {}
        self.exploited: set[int] = set()
        rows = read_history(path) if path.exists() else []
        first = {"kind": "search", "format": FORMAT, **about}
        if rows:
            _require_same(rows[0], first, path)
        for number, row in enumerate(rows[1:], start=2):
            try:
                self._take(row)
            except (KeyError, TypeError, ValueError) as error:
                raise CorruptFileError(
                    "not a record of a search",
                    where=f"{path}, line {number}",
                    found=str(row)[:60],
                    expected="lines as the search wrote them",
                ) from error
        self._file = History(path, rows)
        if not rows:
            self._write(first)

    def record(self, kind: str, **values: Any) -> None:
        """Write a line, bring it to the disk, and take it up."""
        row = {"kind": kind, **values}
        self._write(row)
        self._take(row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, row: Row) -> None:
        self._file.append(row)
        self._file.sync()

    def _take(self, row: Row) -> None:
        kind = row["kind"]
        if kind == "plan":
            name = row["trial"]
            run = str(row.get("run", name))
            self.trials[name] = Trial(name, dict(row["settings"]), int(row["seed"]), run)
            return
        if kind == "exploit":
            self.exploited.add(row["step"])
            for entry in row["forks"]:
                fork = Fork(entry["child"], entry["donor"], row["step"], dict(entry["new"]))
                child = self.trials[fork.child]
                child.forks.append(fork)
                child.settings, child.run = fork.settings, run_of(fork)
                # no donor is a child of the same exploit
                child.curve = dict(self.trials[fork.donor].curve)
            return
        trial = self.trials[row["trial"]]
        if kind == "start":
            trial.until = int(row["until"])
        elif kind == "report":
            trial.curve[int(row["step"])] = float(row["score"])
        elif kind == "end":
            trial.status, trial.error = row["status"], row.get("error", "")
        else:
            raise ValueError(kind)


def run_of(fork: Fork) -> str:
    """Return the name of the run folder of a fork.

    Examples
    --------
    >>> run_of(Fork("03", "07", 400, {}))
    '03-from-07-at-400'
    """
    return f"{fork.child}-from-{fork.donor}-at-{fork.step}"


def _require_same(found: Row, own: Row, path: Path) -> None:
    names = sorted(
        name for name in (found.keys() | own.keys()) - {*TOLD} if found.get(name) != own.get(name)
    )
    if names:
        raise CheckpointMismatchError(
            "the folder holds another search",
            where=path,
            found="; ".join(f"{name}: {found.get(name, 'absent')}" for name in names),
            expected="; ".join(f"{name}: {own.get(name, 'absent')}" for name in names),
            hint="go on with the same data and settings, or use another folder",
        )
