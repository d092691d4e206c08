"""Results as one table: each version's time beside the floors, and the targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]


class Target(NamedTuple):
    """A ratio of times that is promised at every size.

    The time of the fastest version in ``over`` is divided by that of the fastest in ``under``;
    ``floor`` counts as a version.
    """

    kernel: str
    text: str
    over: tuple[str, ...]
    under: tuple[str, ...]
    least: float | None = None
    most: float | None = None
    passes: tuple[str, ...] = ("forward", "forward+backward")


def rates(rows: Iterable[Row]) -> dict[str, float]:
    """Return measured bytes and operations per second by name of the floor."""
    return {
        row["size"]: (row["n_bytes"] or row["n_operations"]) / row["ms"] * 1e3
        for row in rows
        if row["kernel"] == "floors" and "ms" in row
    }


def floor(row: Row, rate: Mapping[str, float]) -> float | None:
    """Return the least time [ms] for a row's bytes and operations, none where unmeasured."""
    uncounted = not (row["n_bytes"] or row["n_operations"])
    if uncounted or "copy" not in rate or row["unit"] not in rate:
        return None
    seconds = row["n_bytes"] / rate["copy"], row["n_operations"] / rate[row["unit"]]
    return 1e3 * float(max(seconds))


def report(about: Mapping[str, Any], rows: Sequence[Row], targets: Sequence[Target]) -> str:
    """Return everything that was measured as text."""
    rate = rates(rows)
    lines = [", ".join(f"{name} {value}" for name, value in about.items())]
    lines += [f"{name}: {value / 1e12:.3g} T/s" for name, value in rate.items()]
    for kernel in dict.fromkeys(row["kernel"] for row in rows if row["kernel"] != "floors"):
        own = [row for row in rows if row["kernel"] == kernel]
        checks = [_check(row) for row in own if "errors" in row]
        lines += ["", f"{kernel}: relative errors", *checks] if checks else []
        lines += ["", f"{kernel}: median time [ms]"]
        lines += _table(_times(own, rate), [row for row in own if "ms" in row])
        lines += [line for target in targets for line in _verdict(target, kernel, own, rate)]
    lines += [_failure(row) for row in rows if "error" in row]
    lines += [
        f"not by Triton: {row['kernel']} {row['size']} {row['routes']}"
        for row in rows
        if row["version"].startswith("ours") and set(row.get("routes", {}).values()) - {"triton"}
    ]
    return "\n".join(lines) + "\n"


def _check(row: Row) -> str:
    name, worst = max(row["errors"].items(), key=lambda item: (item[1] != item[1], item[1]))
    verdict = "passes" if row["correct"] else "FAILS"
    return f"  {row['size']}: {verdict}, worst {worst:.1e} ({name}), tolerance {row['tolerance']}"


def _times(
    own: Iterable[Row], rate: Mapping[str, float]
) -> dict[tuple[str, str], dict[str, float]]:
    """Return times by size and pass, then by version, the floor among them."""
    times: dict[tuple[str, str], dict[str, float]] = {}
    for row in own:
        if "ms" not in row:
            continue
        at = times.setdefault((row["size"], row["passes"]), {})
        least = floor(row, rate)
        if least is not None:
            # the row of several models has a higher one
            at["floor"] = min(least, at.get("floor", least))
        at[row["version"]] = row["ms"]
    return times


def _table(times: Mapping[tuple[str, str], Mapping[str, float]], own: Sequence[Row]) -> list[str]:
    versions = list(dict.fromkeys(["floor", *(row["version"] for row in own)]))
    short = {"forward": "fwd", "forward+backward": "fwd+bwd"}
    table = [["size", "pass", *versions]]
    for (size, passes), at in times.items():
        table.append([size, short[passes], *(_number(at.get(version)) for version in versions)])
    peaks = _peaks(own, versions)
    table += [["peak of the largest [MB]", "", *peaks]] if any(peaks) else []
    widths = [max(map(len, column)) for column in zip(*table)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
        for line in table
    ]


def _peaks(own: Sequence[Row], versions: Sequence[str]) -> list[str]:
    most: dict[str, float] = {}
    for row in own:
        most[row["version"]] = max(most.get(row["version"], 0), row.get("peak_mb", 0))
    return [f"{most[version]:.0f}" if most.get(version) else "" for version in versions]


def _verdict(
    target: Target, kernel: str, own: Sequence[Row], rate: Mapping[str, float]
) -> list[str]:
    if target.kernel != kernel:
        return []
    ratios = []
    for (_, passes), at in _times(own, rate).items():
        over = [at[name] for name in target.over if name in at]
        under = [at[name] for name in target.under if name in at]
        if over and under and passes in target.passes:
            ratios.append(min(over) / min(under))
    if not ratios:
        return [f"  target {target.text}: not measured"]
    reached = (target.least is None or min(ratios) >= target.least) and (
        target.most is None or max(ratios) <= target.most
    )
    found = f"{min(ratios):.2f} to {max(ratios):.2f} at {len(ratios)} sizes"
    return [f"  target {target.text}: {'reached' if reached else 'MISSED'}, {found}"]


def _failure(row: Row) -> str:
    return f"failed: {row['kernel']} {row['size']} {row['version']}: {row['error'][:160]}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
