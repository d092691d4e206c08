from __future__ import annotations

import subprocess
import sys

import pytest

from neurodyn.errors import ConfigError, FileError, SizeBudgetError
from neurodyn.io import limits
from neurodyn.io.limits import (
    format_bytes,
    get_limits,
    limited,
    parse_bytes,
    require_budget,
    require_writable,
    set_limits,
)


@pytest.fixture
def _own_process(monkeypatch):
    monkeypatch.setattr(limits, "_process", {})


def test_default_limits_are_half_the_machine_a_ratio_of_200_and_a_million_objects():
    found = get_limits()
    assert found.memory > 10**8
    assert (found.file_ratio, found.objects) == (200.0, 1_000_000)


@pytest.mark.usefixtures("_own_process")
def test_block_wins_over_process_and_process_over_environment(monkeypatch):
    monkeypatch.setenv("NEURODYN_LIMIT_MEMORY", "3GB")
    monkeypatch.setenv("NEURODYN_LIMIT_OBJECTS", "1e4")
    assert get_limits().memory == 3 * 10**9
    assert get_limits().objects == 10_000
    assert set_limits(memory=2e9, file_ratio=50).memory == 2 * 10**9
    with limited(memory="1 GB"):
        with limited(objects=7):
            assert get_limits().memory == 10**9
            assert get_limits().objects == 7
        assert get_limits().objects == 10_000
    assert get_limits() == limits.Limits(memory=2 * 10**9, file_ratio=50, objects=10_000)


def test_environment_is_read_in_a_new_process():
    code = "from neurodyn.io.limits import get_limits; print(get_limits().file_ratio)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"NEURODYN_LIMIT_FILE_RATIO": "12.5", "PATH": ""},
        capture_output=True,
        check=True,
        text=True,
    )
    assert found.stdout.strip() == "12.5"


def test_environment_that_is_no_number_is_named(monkeypatch):
    monkeypatch.setenv("NEURODYN_LIMIT_OBJECTS", "many")
    with pytest.raises(ConfigError, match=r"NEURODYN_LIMIT_ variable.*\n.*many"):
        get_limits()


def test_default_memory_without_a_way_to_ask(monkeypatch):
    monkeypatch.setattr(limits.os, "sysconf", lambda name: -1 / 0)
    monkeypatch.setattr(limits.Path, "read_text", lambda path: "max")
    with pytest.raises(ZeroDivisionError):
        get_limits()
    monkeypatch.delattr(limits.os, "sysconf")
    assert get_limits().memory == limits.FALLBACK_MEMORY


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf")])
def test_limits_must_be_positive(bad):
    with pytest.raises(ConfigError, match="file_ratio must be positive"):
        set_limits(file_ratio=bad)


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("4GB", 4 * 10**9), ("512 MiB", 512 * 2**20), (2e9, 2 * 10**9), ("1.5k", 1500), ("7", 7)],
)
def test_sizes_as_text(text, n_bytes):
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["", "much", "4 XB", "0", "1i", "1.2.3", "-5", "1e999"])
def test_sizes_that_are_none(text):
    with pytest.raises(ConfigError, match="not a size in bytes"):
        parse_bytes(text)


def test_formatted_sizes_are_short():
    assert [format_bytes(n) for n in (0, 999, 1400, 8e12)] == ["0 B", "999 B", "1.4 kB", "8 TB"]
    assert format_bytes(1e25) == "1e+07 EB"


def test_memory_budget_states_both_sizes_and_what_to_set():
    with limited(memory="1MB"), pytest.raises(SizeBudgetError) as caught:
        require_budget(2_500_000, 400, where="a.nwb:/x", hint="read slices")
    text = str(caught.value)
    assert "a.nwb:/x" in text
    assert "2.5 MB in memory from 400 B stored" in text
    assert "at most 1 MB" in text
    assert "read slices; or set_limits(memory='3MB')" in text


def test_expansion_counts_only_above_one_gigabyte():
    with limited(memory="10GB"):
        require_budget(999_999_999, 1, where="x")
        require_budget(2_000_000_000, 10_000_000, where="x")
        with pytest.raises(SizeBudgetError, match=r"ratio 201\b"):
            require_budget(2_010_000_000, 10_000_000, where="x")
        with pytest.raises(SizeBudgetError, match="ratio inf"):
            require_budget(2_000_000_000, 0, where="x")
        require_budget(2_000_000_000, None, where="x")


def test_suggested_memory_is_never_zero():
    assert limits._round_up(0) == "1B"
    assert limits._round_up(1_000_001) == "2MB"


def test_folder_to_write_to_is_made_or_refused(tmp_path):
    require_writable(tmp_path / "new" / "folder")
    assert not list((tmp_path / "new" / "folder").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot write to the folder"):
        require_writable(tmp_path / "file")
    with pytest.raises(FileError, match="not enough space"):
        require_writable(tmp_path, n_bytes=10**18)
