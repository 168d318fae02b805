"""Everything a training needs to go on, in one file that is whole at any moment."""

import io
import os
from pathlib import Path

import torch

from .recipes import RECIPES, made_by

FORMAT = 2
"""Counts up whenever a checkpoint holds other things than before."""


def save(path: Path, name: str, state: dict) -> None:
    """Replace the checkpoint of the network ``name`` in one go; a kill leaves the old or the new.

    Raises
    ------
    OSError
        The disk does not take it. The old checkpoint is as it was.
    """
    content = io.BytesIO()
    recipe = made_by(RECIPES[name])
    torch.save({"format": FORMAT, "name": name, "recipe": recipe, **state}, content)
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
            "start again: the training goes on from the last whole checkpoint."
        ) from error


def load(path: Path, name: str, device: torch.device) -> dict:
    """Read the checkpoint of the network ``name``.

    Raises
    ------
    ValueError
        It is damaged, or was written by another version or for another recipe.
    """
    fix = f"Move {path} away to train {name} from the beginning, or check out the code it is of."
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # whatever pickle and zip files can say
        raise ValueError(f"The checkpoint {path} cannot be read: {error}. {fix}") from error
    seen = saved.get("format", 1)
    if seen != FORMAT:
        raise ValueError(
            f"The checkpoint {path} is of another version: it has format {seen}, this code "
            f"writes format {FORMAT}. {fix}"
        )
    there, here = (
        {"name": saved["name"], **saved["recipe"]},
        {"name": name} | made_by(RECIPES[name]),
    )
    differing = [key for key in here | there if here.get(key) != there.get(key)]
    if differing:
        told = ", ".join(f"{key} {there.get(key)!r}" for key in differing)
        wanted = ", ".join(f"{key} {here.get(key)!r}" for key in differing)
        raise ValueError(
            f"The checkpoint {path} is of another recipe: it has {told}, the recipe of {name} has "
            f"{wanted}. {fix}"
        )
    return saved
