"""What the package must never do, checked on the syntax tree of every file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "neurodyn"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "telnetlib"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "tempfile.mktemp",
    "torch.load",
    "joblib.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "pandas.read_pickle",
    "pd.read_pickle",
    "numpy.load",
    "np.load",
    "numpy.loads",
}
METHODS = {"extractall", "unpack_archive"}
# Converting pickles is what this file is for: in a child process, and with stand-ins for all that
# a pickle may name (tests/io/test_unpickle.py). No reader imports it.
ALLOWED = {"io/unpickle.py": ["pickle"]}
KEYWORDS = {"allow_pickle", "shell", "trust_remote_code"}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def forbidden_imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        found = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        found = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return []
    return [name for name in found if name.split(".")[0] in MODULES or name in CALLS]


def is_true(node: ast.expr) -> bool:
    """Anything but a literal False, which may stand to say so."""
    return not (isinstance(node, ast.Constant) and node.value is False)


def forbidden_calls(node: ast.AST) -> list[str]:
    if not isinstance(node, ast.Call):
        return []
    name = dotted(node.func)
    found = [name] if name in CALLS or name.rsplit(".", 1)[-1] in METHODS else []
    return found + [f"{k.arg}=" for k in node.keywords if k.arg in KEYWORDS and is_true(k.value)]


def violations(text: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(text)):
        line = getattr(node, "lineno", 0)
        found += [f"line {line}: {n}" for n in (*forbidden_imports(node), *forbidden_calls(node))]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_that_runs_foreign_code(path):
    found = [line.split(": ")[1] for line in violations(path.read_text(encoding="utf-8"))]
    assert found == ALLOWED.get(path.relative_to(PACKAGE).as_posix(), [])


def test_only_the_command_reaches_what_reads_pickles():
    users = [p for p in FILES if "neurodyn.io.unpickle import" in p.read_text(encoding="utf-8")]
    assert [path.relative_to(PACKAGE).as_posix() for path in users] == ["cli/files.py"]


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "import os, marshal",
        "from pickle import loads",
        "from torch import load",
        "x = eval('1')",
        "exec(code)",
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "f(path, allow_pickle=True)",
        "f(path, allow_pickle=flag)",
        "subprocess.run(command, shell=True)",
        "tempfile.mktemp()",
        "archive.extractall(folder)",
        "shutil.unpack_archive(path)",
        "yaml.load(text)",
        "__import__('os')",
    ],
)
def test_the_rule_sees_each_violation(text):
    assert violations(text)


def test_the_rule_leaves_the_rest_alone():
    text = "import json\nre.compile('a')\nf(x, allow_pickle=False)\nmodel.eval()\nsession.load(x)"
    assert violations(text) == []
