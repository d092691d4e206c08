"""Fault K18: a crash in the middle of a line costs that line only."""

from __future__ import annotations

import errno
import math
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import CorruptFileError
from neurodyn.training.history import History, read_history

ROWS = [{"step": 1, "loss": 0.1 + 0.2}, {"step": 2, "loss": 1e-300, "kind": "träin"}]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.jsonl"


def written(path, rows):
    history = History(path)
    for row in rows:
        history.append(row)
    history.sync()
    history.close()
    return history


def test_rows_come_back_to_the_bit(path):
    assert written(path, ROWS).rows == ROWS == read_history(path)


def test_numbers_that_are_not_finite_are_null_on_disk_and_nan_in_memory(path):
    history = written(path, [{"step": 1, "loss": math.inf, "nll": math.nan}])
    assert path.read_text() == '{"step": 1, "loss": null, "nll": null}\n'
    for row in (history.rows[0], read_history(path)[0]):
        assert math.isnan(row["loss"])
        assert math.isnan(row["nll"])


def test_a_new_history_replaces_the_file_by_its_first_rows(path):
    written(path, ROWS)
    history = History(path, ROWS[:1])
    history.append({"step": 9})
    history.close()
    history.close()
    assert read_history(path) == [ROWS[0], {"step": 9}]


@settings(deadline=None, max_examples=40, derandomize=True)
@given(cut=st.integers(0, 80))
def test_a_file_cut_anywhere_keeps_its_whole_lines(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "history.jsonl"
    written(path, ROWS)
    text = path.read_bytes()[:cut]
    path.write_bytes(text)
    assert read_history(path) == ROWS[: text.count(b"\n")]


@pytest.mark.parametrize("bad", ["{", "[1]", "\udcff"])
def test_a_bad_line_elsewhere_is_an_error(path, bad):
    path.write_bytes(b'{"step": 1}\n' + bad.encode(errors="surrogateescape") + b'\n{"step": 3}\n')
    with pytest.raises(CorruptFileError, match="line 2"):
        read_history(path)


def test_rows_that_a_full_disk_refused_are_written_later(path, monkeypatch):
    history = History(path)
    history.append(ROWS[0])
    whole = os.pwrite

    def half_then_full(descriptor, data, offset):
        whole(descriptor, data[:5], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", half_then_full)
    history.append(ROWS[1])
    with pytest.raises(OSError, match="No space left"):
        history.sync()
    assert read_history(path) == ROWS[:1]
    monkeypatch.undo()
    history.sync()
    history.close()
    assert read_history(path) == ROWS
