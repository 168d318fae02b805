"""What the files around the package promise: the same versions everywhere, targets that exist,
clean notebooks, scripts that fail loudly, a wheel that holds what it must."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
MEGABYTE = 1_000_000

# conda-forge's names where they differ from PyPI's.
ON_PYPI = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}
# Tracked files above 5 MB, each with its reason.
LARGE: set[str] = set()  # weights and what their optimiser remembers, until the last epoch


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def run(*command: str, folder: Path = ROOT, **environment: str) -> str:
    """What the command prints; a test fails with its error messages if it does."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
    )
    assert ran.returncode == 0, f"{command} failed:\n{ran.stdout}{ran.stderr}"
    return ran.stdout


@cache
def files() -> list[str]:
    """All files that are in git or would be after `git add .`."""
    listed = run("git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard")
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@cache
def texts() -> dict[str, str]:
    """The content of all files that are text."""
    contents = {name: (ROOT / name).read_bytes() for name in files()}
    return {name: it.decode("utf-8") for name, it in contents.items() if b"\0" not in it}


# Versions and dependencies


def test_environments_are_equal() -> None:
    assert text("environment.yml") == text("binder/environment.yml")


def test_environment_agrees_with_pyproject() -> None:
    listed = yaml.safe_load(text("environment.yml"))
    assert listed["channels"] == ["conda-forge"]
    python, pip, *conda, with_pip = listed["dependencies"]
    assert re.fullmatch(r"python=3\.\d+", python), "repo2docker reads no other form"
    assert int(python.split(".")[1]) >= int(PROJECT["requires-python"].split(".")[1])
    assert pip == "pip"
    floors = dict(line.split(">=") for line in conda + with_pip["pip"])
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["lab"]
    assert {ON_PYPI.get(name, name): floor for name, floor in floors.items()} == dict(
        line.split(">=") for line in wanted
    )


def test_dependencies_have_floors_and_no_pins() -> None:
    lines = set(chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()))
    for line in lines - {"reliab-widgets[test]"}:
        assert re.fullmatch(r"[a-z0-9-]+>=[\d.]+", line), line


def test_version_is_the_same_everywhere() -> None:
    version = PROJECT["version"]
    assert f"\n## [{version}] - " in text("CHANGELOG.md")
    assert yaml.safe_load(text("CITATION.cff"))["version"] == version
    assert f'\n__version__ = "{version}"\n' in text("reliab_widgets/__init__.py")


def test_licence_is_the_same_everywhere() -> None:
    assert text("LICENSE").startswith("BSD 3-Clause License\n")
    assert PROJECT["license"] == yaml.safe_load(text("CITATION.cff"))["license"] == "BSD-3-Clause"
    assert PROJECT["authors"][0]["name"] in text("LICENSE")


# Make, CI and Binder


def test_help_lists_every_target() -> None:
    said = run("make", "--no-print-directory", "help")
    assert re.findall(r"^make (\w+) +\S", said, re.MULTILINE) == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_target_parses(target: str) -> None:
    run("make", "--dry-run", target)


def test_named_targets_exist() -> None:
    """Wherever a file says `make word`, in code marks or on a line of its own."""
    in_marks = re.compile(r"`make ([a-z]+)\b[^`\n]*`")
    on_a_line = re.compile(
        r"^\s*(?:entry: |\$ )?make ([a-z]+)(?: +(?:[A-Z]+=|#).*)?$", re.MULTILINE
    )
    for name, content in texts().items():
        named = set(in_marks.findall(content) + on_a_line.findall(content))
        assert named <= {*TARGETS, "word"}, name


@pytest.mark.parametrize(
    ("answers", "advice"),
    [
        ("*version_info*) exit 1", "Python 3.11 or newer"),
        ("*ensurepip*) exit 1", "apt install python3-venv"),
    ],
)
def test_unfit_python_is_told_what_to_install(tmp_path: Path, answers: str, advice: str) -> None:
    """A stand-in for Python answers the two questions that the Makefile asks it."""
    stand_in = tmp_path / "python3"
    stand_in.write_text(f'#!/bin/sh\ncase "$2" in {answers};; esac\n')
    stand_in.chmod(0o755)
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_text(text(name))
    ran = subprocess.run(
        ["make", "--no-print-directory", "lab", f"PYTHON={stand_in}"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    assert ran.returncode != 0
    assert advice in ran.stdout
    assert len(ran.stdout.splitlines()) == 1


@pytest.mark.parametrize("name", [".ci/run", "binder/postBuild"])
def test_script_fails_loudly(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    assert text(name).startswith("#!")
    assert "\nset -euo pipefail\n" in text(name)
    run("bash", "-n", name)


def test_binder_is_what_repo2docker_reads() -> None:
    """Only `binder/` counts once it exists, and any other file in it would change the rules."""
    assert not (ROOT / ".binder").exists()
    assert {path.name for path in (ROOT / "binder").iterdir()} == {"environment.yml", "postBuild"}


def test_post_build_installs_and_switches_comm_subshells_off(tmp_path: Path) -> None:
    for name in ("pip", "python"):
        stand_in = tmp_path / name
        stand_in.write_text(f'#!/bin/sh\necho {name} "$@"\n')
        stand_in.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    said = run("binder/postBuild", PATH=path, NB_PYTHON_PREFIX=str(tmp_path))
    assert said.splitlines() == ["pip install --no-cache-dir --no-deps .", "python -"]
    settings = json.loads((tmp_path / "share/jupyter/lab/settings/overrides.json").read_text())
    kernels = settings["@jupyterlab/apputils-extension:kernels-settings"]
    assert kernels == {"commsOverSubshells": "disabled"}


# The tree


def test_large_files_are_listed() -> None:
    large = {name for name in files() if (ROOT / name).stat().st_size > 5 * MEGABYTE}
    assert large == LARGE


def test_no_path_of_somebodys_machine() -> None:
    """A file that names a folder of the machine it was written on works on no other."""
    folder = re.compile(r"(?<![\w.~])/(?:work|root|home/\w+|Users/\w+)/")
    for name, content in texts().items():
        found = folder.search(content)
        assert not found, f"{name}: {found}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stripped(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            assert "".join(cell["source"]).strip(), f"cell {cell['id']} is empty"


# What is installed

LAZY = {"captum", "ipywidgets", "matplotlib", "pandas", "scipy", "sklearn", "torchvision"}


@pytest.mark.parametrize(
    ("use", "unwanted"),
    [
        ("rw", LAZY | {"torch", "numpy"}),
        ("rw.load, rw.Result, rw.Reliability, rw.sweep, rw.Cancelled", LAZY | {"torch"}),
        ("rw.Subject, rw.reliability", LAZY),
        ("rw.demo", LAZY - {"torchvision"}),
    ],
)
def test_import_is_light(use: str, unwanted: set[str]) -> None:
    said = run(
        sys.executable, "-c", f"import sys, reliab_widgets as rw; {use}; print(*sys.modules)"
    )
    assert not {name.split(".")[0] for name in said.split()} & unwanted


def test_wheel(tmp_path: Path) -> None:
    """All of the package and nothing else, small enough, and at work where nothing else lies."""
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 40 * MEGABYTE
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    metadata = {name for name in packed if ".dist-info/" in name}
    assert any(name.endswith("LICENSE") for name in metadata)
    # Only clones have what stands behind findings.
    clones = re.compile(r"/weights/(\S+-seed|subset-)")
    ours = {name for name in files() if name.startswith("reliab_widgets/")}
    at = {"notebooks/": "lessons/", "docs/findings/": "lessons/findings/"}
    lessons = {
        f"reliab_widgets/{inside}{name.removeprefix(place)}"
        for place, inside in at.items()
        for name in files()
        if name.startswith(place)
    }
    assert packed - metadata == {name for name in ours if not clones.search(name)} | lessons
    code = "import reliab_widgets as rw; print(rw.__file__, len(rw.demo('resnet20').logits))"
    said = run(sys.executable, "-c", code, folder=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert said.split() == [str(tmp_path / "site/reliab_widgets/__init__.py"), "2000"]
    code = (
        "from pathlib import Path; from reliab_widgets.cli.lessons import copy; copy(Path('mine'))"
    )
    run(sys.executable, "-c", code, folder=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    mine = (tmp_path / "mine").rglob("*.*")
    copied = {
        f"reliab_widgets/lessons/{it.relative_to(tmp_path / 'mine').as_posix()}" for it in mine
    }
    assert copied == lessons
