"""The rules that keep the code readable, checked on the syntax tree of every file."""

from __future__ import annotations

import ast
import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "neurodyn"
FILES = sorted(PACKAGE.rglob("*.py"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
MOST_LINES_PER_FILE = 500
MOST_LINES_PER_FUNCTION = 60


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def public_definitions(node: ast.AST, prefix: str = ""):
    """Yield public functions, classes and their public methods with dotted names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*FUNCTIONS, ast.ClassDef)) and not child.name.startswith("_"):
            yield f"{prefix}{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from public_definitions(child, f"{prefix}{child.name}.")


@pytest.mark.parametrize("path", FILES, ids=label)
def test_files_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES_PER_FILE
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, FUNCTIONS) and node.end_lineno - node.lineno >= MOST_LINES_PER_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("path", FILES, ids=label)
def test_everything_public_has_a_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    missing = [] if ast.get_docstring(tree) else ["the file itself"]
    for name, node in public_definitions(tree):
        overload = any(
            isinstance(d, ast.Name) and d.id == "overload"
            for d in getattr(node, "decorator_list", [])
        )
        if not ast.get_docstring(node) and not overload:
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("path", FILES, ids=label)
def test_no_asserts_and_no_notes_to_self(path):
    text = path.read_text(encoding="utf-8")
    asserts = [n.lineno for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Assert)]
    assert asserts == []
    assert not any(word in text for word in ("TO" + "DO", "FIX" + "ME", "XX" + "X"))


def test_every_package_is_shipped():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    present = {
        ".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")
    }
    assert present <= listed
    assert {name for name in listed if not name.startswith("neurodyn._shipped")} == present


def test_import_is_light():
    code = (
        "import sys, neurodyn; "
        "heavy = {'torch', 'xarray', 'pandas', 'scipy', 'pynwb', 'h5py', 'mne', 'tensorly', "
        "'matplotlib', 'sklearn', 'numba'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_resolve():
    import neurodyn

    for name in neurodyn.__all__:
        assert getattr(neurodyn, name) is not None
    with pytest.raises(AttributeError):
        _ = neurodyn.no_such_name


NETWORKS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in FILES
    if "kernels" in path.parts
    or ("models" in path.parts and path.name in ("network.py", "ccn2025.py"))
]


@pytest.mark.parametrize("module", NETWORKS)
def test_networks_need_torch_alone(module):
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {{'xarray', 'pandas', 'h5py', 'scipy', 'sklearn', 'pynwb', 'mne',
                                  'lightning_fabric', 'safetensors', 'matplotlib'}}:
            raise ImportError(name + ' is not torch')
sys.meta_path.insert(0, Refuse())
import {module}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_later_pythons_compile_every_file(version, tmp_path):
    pyenv = Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")
    interpreter = next(map(str, pyenv), shutil.which(f"python{version}"))
    if interpreter is None:
        pytest.skip(f"Python {version} is not on this machine")
    code = (
        "import sys; [compile(open(p, encoding='utf-8').read(), p, 'exec') for p in sys.argv[1:]]"
    )
    subprocess.run([interpreter, "-W", "error", "-c", code, *map(str, FILES)], check=True)
