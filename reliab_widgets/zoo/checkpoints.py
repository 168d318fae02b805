"""Everything a training needs to go on, in one file that is whole at any moment.

A checkpoint lies in the ignored folder ``build/zoo``. What must outlast the machine is committed in
the folder ``training``: ``python -m reliab_widgets.zoo.checkpoints`` writes it, in half precision,
and `train` begins from there where ``build/zoo`` has nothing.
"""

import argparse
import io
import os
import shutil
from pathlib import Path

import torch
from torch import Tensor

from . import weights
from .recipes import RECIPES, made_by

FORMAT = 2
"""Counts up whenever a checkpoint holds other things than before."""
WORK, KEPT = Path("build/zoo"), Path("training")


class Refused(ValueError):
    """A checkpoint that this code cannot go on from."""


def save(path: Path, name: str, state: dict) -> None:
    """Replace the checkpoint of the network ``name`` in one go; a kill leaves the old or the new.

    Raises
    ------
    OSError
        The disk does not take it. The old checkpoint is as it was.
    """
    content = io.BytesIO()
    recipe = made_by(RECIPES[name])
    torch.save({**state, "format": FORMAT, "name": name, "recipe": recipe}, content)
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())  # on the disk before the old one goes
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        size = content.getbuffer().nbytes / 1e6
        raise OSError(
            f"The checkpoint of {name} could not be written: {path} needs {size:.1f} MB, and the "
            f"system says {error.strerror!r}. Make room or pass another folder as --work, then "
            "start again: the training goes on from the last checkpoint that was."
        ) from error


def load(path: Path, name: str) -> dict:
    """Read the checkpoint of the network ``name``, wherever it was written, onto the CPU.

    Raises
    ------
    Refused
        It is damaged, or was written by another version or for another recipe.
    """
    fix = f"Move {path} away to train {name} from the beginning, or check out the code it is of."
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever pickle and zip files can say
        raise Refused(f"The checkpoint {path} cannot be read: {error}. {fix}") from error
    seen = saved.get("format", 1)
    if seen != FORMAT:
        raise Refused(
            f"The checkpoint {path} is of another version: it has format {seen}, this code "
            f"writes format {FORMAT}. {fix}"
        )
    there = {"name": saved["name"], **saved["recipe"]}
    here = {"name": name, **made_by(RECIPES[name])}
    differing = [key for key in here | there if here.get(key) != there.get(key)]
    if differing:
        told = ", ".join(f"{key} {there.get(key)!r}" for key in differing)
        wanted = ", ".join(f"{key} {here.get(key)!r}" for key in differing)
        raise Refused(
            f"The checkpoint {path} is of another recipe: it has {told}, the recipe of {name} has "
            f"{wanted}. {fix}"
        )
    return saved


def fetch(name: str, work: Path, kept: Path) -> Path:
    """Give the path of a checkpoint in ``work``, copied from ``kept`` if only that has one."""
    path, committed = work / f"{name}.pt", kept / f"{name}.pt"
    if committed.exists() and not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        shutil.copy(committed, path)
    return path


def keep(name: str, work: Path, kept: Path) -> str:
    """Write a checkpoint to ``kept``, small enough to commit, until the box has the network."""
    path, committed = work / f"{name}.pt", kept / f"{name}.pt"
    if weights.shipped(name):
        committed.unlink(missing_ok=True)
        return f"{name}: in the box"
    if not path.exists():
        return f"{name}: no checkpoint"
    state = load(path, name)
    epochs = len(state["log"])
    # Weights are small numbers with many digits, what an optimiser remembers are few digits of
    # numbers of any size.
    state["model"] = _rounded(state["model"], torch.float16)
    if epochs < RECIPES[name].epochs:
        state["optimiser"] = _rounded(state["optimiser"], torch.bfloat16)
    else:
        state.pop("optimiser", None)  # what was kept and fetched has none
    save(committed, name, state)
    return f"{name}: {epochs} of {RECIPES[name].epochs} epochs in {committed}"


def _rounded(state: dict, dtype: torch.dtype) -> dict:
    def rounded(value: object) -> object:
        if isinstance(value, dict):
            return _rounded(value, dtype)
        # A single number counts steps, which half precision stops doing at a few hundred.
        if isinstance(value, Tensor) and value.is_floating_point() and value.ndim:
            return value.to(dtype)
        return value

    return {key: rounded(value) for key, value in state.items()}


def main() -> None:
    """Make checkpoints small enough to commit, of every network that is not in the box."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--work", type=Path, default=WORK, help="where they are read")
    parser.add_argument("--kept", type=Path, default=KEPT, help="where they are written")
    arguments = parser.parse_args()
    for name in RECIPES:
        print(keep(name, arguments.work, arguments.kept))


if __name__ == "__main__":
    main()
