"""Registers, shared memory and stack of every Triton kernel, compiled without a GPU.

    python -m benchmarks.kernel_resources [--update] [OPERATION]

Each size that a module ``neurodyn/kernels/triton_*.py`` names in ``ahead_of_time()`` is compiled
for sm_80 and sm_90 and taken apart by the ``cuobjdump`` of Triton's wheel. The command fails when
a kernel needs more than what ``kernel_resources.toml`` holds; ``--update`` writes that file anew.
A stack above 0 means that registers spill to memory. With the name of an operation its kernels
are only shown.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

COUNTS = Path(__file__).with_suffix(".toml")
KERNELS = Path(__file__).resolve().parents[1] / "neurodyn" / "kernels"
#: Shared memory that one program can have [bytes], by compute capability.
ARCHITECTURES = {80: 163 * 1024, 90: 227 * 1024}
FIELDS = ("registers", "shared", "stack")

Usage = dict[str, dict[str, dict[str, int]]]


def specimens(operation: str) -> list[Any]:
    """Return the kernels of an operation, or of all, at every size that the package names."""
    names = sorted(path.stem for path in KERNELS.glob(f"triton_{operation or '*'}.py"))
    modules = [import_module(f"neurodyn.kernels.{name}") for name in names]
    return [entry for module in modules for entry in module.ahead_of_time()]


def compile_one(entry: Any, capability: int) -> dict[str, int]:
    """Compile a kernel for a compute capability and return what it takes."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = entry.kernel.arg_names
    types = {n: "constexpr" if n in entry.constants else entry.signature[n] for n in names}
    # torch aligns what it allocates, and Triton sees so when it compiles for a call
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(names)
        if types[name].startswith("*")
    }
    source = ASTSource(entry.kernel, types, dict(entry.constants), aligned)
    options = {"num_warps": entry.n_warps, "num_stages": entry.n_stages}
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    registers, stack = dump(made.asm["cubin"])
    return dict(zip(FIELDS, (registers, made.metadata.shared, stack)))


def dump(binary: bytes) -> tuple[int, int]:
    """Return registers per thread and bytes of stack of a compiled kernel."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(binary)
        command = [str(tool), "--dump-resource-usage", str(file)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", text)
    if found is None:
        raise RuntimeError(f"cuobjdump names no registers:\n{text}")
    return int(found[1]), int(found[2])


def measure(processes: int, operation: str = "") -> Usage:
    """Return what every kernel takes, by architecture and name; children share the work."""
    # The interpreter that tests switch on replaces the compiler.
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "benchmarks.kernel_resources", "--share"]
    root = KERNELS.parents[1]
    children = [
        subprocess.Popen(
            [*command, f"{share}/{processes}", operation], cwd=root, env=environment,
            stdout=subprocess.PIPE, text=True,
        )
        for share in range(processes)
    ]  # fmt: skip
    usage: Usage = {f"sm_{capability}": {} for capability in ARCHITECTURES}
    for process in children:
        output = process.communicate()[0]
        if process.returncode:
            raise RuntimeError("a kernel does not compile; its error stands above")
        for architecture, kernels in json.loads(output.splitlines()[-1]).items():
            usage[architecture].update(kernels)
    return {name: dict(sorted(kernels.items())) for name, kernels in usage.items()}


def share_of(text: str, operation: str) -> Usage:
    """Return what every n-th kernel takes, for ``"start/n"``."""
    start, step = map(int, text.split("/"))
    jobs = [
        (entry, capability)
        for entry in specimens(operation)
        for capability in ARCHITECTURES
        if capability >= entry.oldest
    ]
    usage: Usage = {}
    for entry, capability in jobs[start::step]:
        try:
            taken = compile_one(entry, capability)
        except Exception as error:
            raise RuntimeError(f"{entry.name} does not compile for sm_{capability}") from error
        usage.setdefault(f"sm_{capability}", {})[entry.name] = taken
    return usage


def faults(usage: Usage, counts: Mapping[str, Any]) -> list[str]:
    """Return what exceeds the committed counts, is missing in them, or fits on no card."""
    found = []
    for architecture, kernels in usage.items():
        room = ARCHITECTURES[int(architecture.removeprefix("sm_"))]
        known = counts.get(architecture, {})
        found += [f"{architecture}: {name} is no more" for name in known if name not in kernels]
        for name, taken in kernels.items():
            if taken["shared"] > room:
                found.append(f"{architecture}: {name} wants {taken['shared']} of {room} bytes")
            if name not in known:
                found.append(f"{architecture}: {name} is new")
                continue
            found += [
                f"{architecture}: {name} takes {taken[field]} {field}, was {known[name][field]}"
                for field in FIELDS
                if taken[field] > known[name][field]
            ]
    return found


def read_counts() -> dict[str, Any]:
    """Return the committed counts."""
    return tomllib.loads(COUNTS.read_text(encoding="utf-8")) if COUNTS.exists() else {}


def write_counts(usage: Usage) -> None:
    """Replace the committed counts."""
    import triton

    lines = ["# Written by python -m benchmarks.kernel_resources --update", ""]
    lines += [f'triton = "{triton.__version__}"']
    for architecture, kernels in usage.items():
        lines += ["", f"[{architecture}]"]
        for name, taken in kernels.items():
            values = ", ".join(f"{field} = {taken[field]}" for field in FIELDS)
            lines.append(f'"{name}" = {{ {values} }}')
    COUNTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(usage: Usage) -> str:
    """Return the counts as text, both architectures in one line."""
    names = list(dict.fromkeys(name for kernels in usage.values() for name in kernels))
    width = max(map(len, names), default=0)
    head = "  ".join(f"{a} {' '.join(f'{f:>9}' for f in FIELDS)}" for a in usage)
    lines = [f"{'':{width}}  {head}"]
    for name in names:
        cells = (
            " " * len(a)
            + " "
            + " ".join(f"{usage[a].get(name, {}).get(field, ''):>9}" for field in FIELDS)
            for a in usage
        )
        lines.append(f"{name:{width}}  {'  '.join(cells)}")
    return "\n".join(lines)


def main() -> None:
    """Print the table, then compare with the committed counts or replace them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("operation", nargs="?", default="", help="such as gru_scan; all by default")
    parser.add_argument("--update", action="store_true", help="commit to the present counts")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--share", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.share:
        print(json.dumps(share_of(chosen.share, chosen.operation)))
        return
    usage = measure(chosen.processes, chosen.operation)
    print(table(usage))
    if chosen.operation:
        return
    if chosen.update:
        write_counts(usage)
    elif found := faults(usage, read_counts()):
        sys.exit("\n".join(["", *found, "--update commits to the present counts"]))


if __name__ == "__main__":
    main()
