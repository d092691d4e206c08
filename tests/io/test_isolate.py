from __future__ import annotations

import io
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import neurodyn.io.isolate as isolate
from neurodyn.errors import (
    CorruptFileError,
    DataQualityWarning,
    MissingDependencyError,
    SizeBudgetError,
    SpikeTimesError,
)
from neurodyn.io.isolate import map_isolated, run_isolated


def act(action, value=None):
    """Do one of the things that a reader of a damaged file may do."""
    import warnings

    if action == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if action == "hang":
        time.sleep(60)
    if action == "exit":
        os._exit(3)
    if action == "swell":
        return int(np.ones(value, np.uint8).sum())
    if action == "print":
        print('{"result": "not this"}', flush=True)
    if action == "warn":
        warnings.warn("two spikes dropped", DataQualityWarning, stacklevel=1)
    if action == "missing":
        raise FileNotFoundError("no such file: a.nwb")
    if action == "data":
        raise SpikeTimesError("not sorted", where="unit 7", found=np.int64(3), hint="on_bad='fix'")
    if action == "extra":
        raise MissingDependencyError("hdmf-zarr", "nwb-zarr")
    if action == "bug":
        raise KeyError("internals")
    if action == "object":
        return object()
    return value


def test_result_and_arguments_go_through_json(tmp_path):
    values = {"a": [1, 2.5, None, "µ"]}
    calls = [("give", values), ("give", tmp_path), ("print", 1)]
    assert list(map_isolated(act, calls)) == [values, str(tmp_path), 1]


def test_one_child_serves_many_and_a_crash_takes_only_its_item():
    actions = ["give", "crash", "give", "hang", "exit", "bug", "give"]
    start = time.monotonic()
    results = list(map_isolated(act, [(action, i) for i, action in enumerate(actions)], seconds=1))
    assert time.monotonic() - start < 20
    assert [results[i] for i in (0, 2, 6)] == [0, 2, 6]
    crashed, hung, gone, bug = (results[i] for i in (1, 3, 4, 5))
    for error in (crashed, hung, gone, bug):
        assert type(error) is CorruptFileError
    assert "SIGSEGV" in str(crashed)
    assert "did not end within 1 s" in str(hung)
    assert "exit code 3" in str(gone)
    assert "KeyError: 'internals'" in str(bug)
    assert "at crash" in str(crashed)


def test_memory_is_bounded():
    assert run_isolated(act, "swell", 10**7, memory="200MB") == 10**7
    with pytest.raises(SizeBudgetError, match="more memory than the budget"):
        run_isolated(act, "swell", 10**9, memory="200MB")


def test_errors_keep_class_and_parts():
    names = ["data", "extra", "missing", "object"]
    data, extra, missing, other = map_isolated(act, [(name,) for name in names])
    assert (type(data), data.where, data.found) == (SpikeTimesError, "unit 7", "3")
    assert str(data) == str(
        SpikeTimesError("not sorted", where="unit 7", found=3, hint="on_bad='fix'")
    )
    assert type(extra) is MissingDependencyError
    assert "neurodyn[nwb-zarr]" in str(extra)
    assert type(missing) is FileNotFoundError
    assert "not JSON serializable" in str(other)
    with pytest.raises(SpikeTimesError, match="unit 7"):
        run_isolated(act, "data")


def test_warnings_reach_the_caller():
    with pytest.warns(DataQualityWarning, match="two spikes dropped"):
        assert run_isolated(act, "warn", 5) == 5


def test_function_that_cannot_be_found_is_a_programming_error():
    with pytest.raises(RuntimeError, match=r"did not start.*exit code 1.*AttributeError"):
        run_isolated(lambda: None)


def test_child_that_ignores_the_alarm_is_killed(monkeypatch):
    monkeypatch.setattr(isolate, "GRACE", 0.5)
    with pytest.raises(CorruptFileError, match=r"did not end(.|\n)*SIGKILL"):
        run_isolated(ignore_alarm, seconds=0.5)


def ignore_alarm():
    signal.setitimer(signal.ITIMER_REAL, 0)
    time.sleep(60)


def test_without_alarm_and_memory_limits(monkeypatch):
    monkeypatch.delattr(signal, "SIGALRM")
    with isolate._alarm(1):
        pass
    monkeypatch.setattr(Path, "read_text", lambda path: "not a number")
    isolate._limit_memory(10)


def test_answer_in_this_process():
    assert isolate._answer(act, ["give", 1]) == {"result": 1, "warnings": []}
    assert isolate._answer(act, ["missing"])["error"] == "FileNotFoundError"
    assert isolate._answer(act, ["data"])["parts"]["found"] == "3"
    assert isolate._answer(act, ["bug"])["error"] == ""

    def swell():
        raise MemoryError

    assert isolate._answer(swell, [])["error"] == "SizeBudgetError"
    unknown = {"error": "OddError", "parts": {"what": "odd"}, "warnings": []}
    assert "OddError: odd" in str(isolate._received(unknown, ()))


def test_calls_are_served_line_by_line(monkeypatch):
    monkeypatch.setattr(isolate, "_limit_memory", lambda memory: None)
    calls = [["test_isolate", "act", 5.0, 10**9], ["give", 1], ["warn", 2]]
    answers = io.StringIO()
    isolate._serve(io.StringIO("".join(json.dumps(call) + "\n" for call in calls)), answers)
    ready, first, second = map(json.loads, answers.getvalue().splitlines())
    assert ready == ["ready"]
    assert first == {"result": 1, "warnings": []}
    assert second == {"result": 2, "warnings": ["two spikes dropped"]}
