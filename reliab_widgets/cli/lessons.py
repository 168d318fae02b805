"""``reliab-widgets lab``: the lessons in a folder of one's own."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from ..core.wording import problem

PACKAGE = Path(__file__).parents[1]


def lessons() -> Path:
    """Return the folder of the lessons: in the wheel a part of the package, in a clone beside it.

    Examples
    --------
    >>> (lessons() / "00_tour.ipynb").is_file()
    True
    """
    inside = PACKAGE / "lessons"
    return inside if inside.is_dir() else PACKAGE.parent / "notebooks"


def copy(folder: Path) -> list[Path]:
    """Copy the lessons to a folder; what is there stays as it is.

    Parameters
    ----------
    folder : Path
        Made if it is not there.

    Returns
    -------
    list of Path
        Files that are there already and differ.
    """
    if folder.is_file():
        fix = "Name a folder, which need not be there yet"
        raise ValueError(problem("the lessons need a folder", f"got the file {folder}", fix))
    kept = []
    for name, source in sorted(_files()):
        target = folder / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        elif not filecmp.cmp(source, target, shallow=False):
            kept.append(target)
    return kept


def _files() -> Iterator[tuple[Path, Path]]:
    """Yield every file of the lessons: its place in their folder, and where it is."""
    roots = {Path(): lessons()}
    if lessons().parent != PACKAGE:  # a clone, where the measured tables are documents, too
        roots[Path("findings")] = PACKAGE.parent / "docs" / "findings"
    for place, root in roots.items():
        for source in root.rglob("*"):
            inside = source.relative_to(root)
            if source.is_file() and not set(inside.parts) & {"__pycache__", ".ipynb_checkpoints"}:
                yield place / inside, source


def lab(folder: Path, more: Sequence[str]) -> int:
    """Copy the lessons, open JupyterLab on the tour, and return what it returns."""
    if find_spec("jupyterlab") is None:
        fix = 'Install it by: pip install "reliab-widgets[lab]"'
        raise ValueError(problem("JupyterLab is not installed", f"got {sys.executable}", fix))
    kept = copy(folder)
    if kept:
        names = ", ".join(str(it.relative_to(folder)) for it in kept)
        print(f"Yours stay as they are: {names}. Delete or rename one to get the lesson anew.")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder.resolve()}"]
    command.append("--LabApp.default_url=/lab/tree/00_tour.ipynb")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    screen = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    if not screen:
        command.append("--no-browser")
    return subprocess.call([*command, *more])
