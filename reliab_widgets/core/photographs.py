"""A picture of one's own among the images of a Subject."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from .analysis import checked
from .knobs import Auto, ClassOf
from .subject import Subject
from .wording import problem

MOST_PIXELS = 100_000_000
"""Of a picture that is read: larger ones are refused before they fill the memory."""


@checked
def photographed(
    subject: Subject, photo: Any, label: Annotated[str | int | None, Auto(ClassOf(()))] = None
) -> Subject:
    """Add a picture to the images of a Subject, as its last one, fitted to their size.

    It is turned as its camera says, cut to their shape about its middle and resized (Lanczos).

    Parameters
    ----------
    subject : Subject
        Whose network looks at it.
    photo : str, path or bytes
        A file of any format that Pillow reads, or its content.
    label : str or int, optional
        Its class by name or number. Without one, what the network says of it stands for the true
        class, and a note says so.

    Returns
    -------
    Subject
        With one image more, and notes on what was done.

    Raises
    ------
    TypeError, ValueError
        It is no picture, or none that can be read; there is no such class.

    Examples
    --------
    >>> import reliab_widgets as rw
    >>> stream = io.BytesIO()
    >>> Image.new("RGB", (64, 48), "teal").save(stream, "PNG")
    >>> subject = rw.photographed(rw.demo("resnet20")[:3], stream.getvalue(), label="ship")
    >>> len(subject), subject.classes[subject.labels[3]]
    (4, 'ship')
    """
    if subject.network.recorded:
        fix = "Make the Subject with rw.Subject(model, images, labels)"
        raise ValueError(problem("there is no network to look at it", "it has logits only", fix))
    name, picture = _read(photo)
    channels, high, wide = subject.images.shape[1:]
    image = _fitted(picture, channels, high, wide)
    said = subject.predict(image).cpu()
    number = int(said.argmax()) if label is None else int(label)
    notes = (*subject.notes, f"{name} was cut and resized from {picture.width} x {picture.height}")
    if label is None:
        notes = (*notes, f"its true class is not known: {subject.classes[number]}, what the "
                         "network says, stands for it")  # fmt: skip
    told = "" if label is None else f", label={subject.classes[number]!r}"
    file = repr(str(photo)) if isinstance(photo, str | Path) else "photo"
    last = int(subject.positions.max()) + 1
    logits = torch.cat([subject.logits, said])
    return subject.replaced(
        images=torch.cat([subject.images, image]),
        labels=torch.cat([subject.labels, torch.tensor([number], dtype=subject.labels.dtype)]),
        positions=torch.cat([subject.positions, torch.tensor([last])]),
        notes=notes,
        unlabelled=subject.unlabelled | ({last} if label is None else set()),
        code=f"rw.photographed({subject.code}, {file}{told})",
    ).knowing(logits)


def _read(photo: Any) -> tuple[str, Image.Image]:
    """Return what a picture is called, and it, upright."""
    source: Any = photo
    if isinstance(photo, bytes | bytearray | memoryview):
        name, source = "the photograph", io.BytesIO(photo)
    elif isinstance(photo, str | Path):
        name = Path(photo).name
    else:
        fix = "Pass photo= as the path of a file, or as its bytes"
        seen = f"got {type(photo).__name__}"
        raise TypeError(problem("photo is no picture", seen, fix))
    try:
        with Image.open(source) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                seen = f"{name} has {opened.width} x {opened.height} pixels"
                fix = "Make it smaller, the network sees little of it"
                raise ValueError(problem("photo is too large", seen, fix))
            return name, ImageOps.exif_transpose(opened)
    except FileNotFoundError as error:
        fix = "Pass photo= as its whole path, or copy it there"
        seen = f"{photo} is not in {Path.cwd()}"
        raise ValueError(problem("photo is not there", seen, fix)) from error
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        fix = "Pass photo= as a PNG, a JPEG or another format that Pillow reads"
        seen = f"{name}: {(str(error).splitlines() or [type(error).__name__])[0].rstrip('.')}"
        raise ValueError(problem("photo cannot be read", seen, fix)) from error


def _fitted(picture: Image.Image, channels: int, high: int, wide: int) -> Tensor:
    """Return a picture as (1, C, H, W) in [0, 1]."""
    if channels not in (1, 3):
        seen = f"the network takes {channels} channels"
        raise ValueError(problem("a photograph has one channel or three", seen, "Use its images"))
    mode = "L" if channels == 1 else "RGB"
    if picture.mode in ("RGBA", "LA", "PA", "P"):  # what is seen through is white
        clear = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    small = ImageOps.fit(picture.convert(mode), (wide, high), Image.Resampling.LANCZOS)
    pixels = np.asarray(small, dtype=np.float32).reshape(high, wide, channels) / 255
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
