"""The command line: lessons in JupyterLab, a check of the machine, the card of a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 2 after an error of whoever called it.

    Examples
    --------
    >>> main(["card", "--model", "resnet21"])  # on stderr: ... The nearest: resnet20. ...
    2
    """
    parser = argparse.ArgumentParser(
        "reliab-widgets", description="A reliability laboratory for image classifiers."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    lab = commands.add_parser("lab", help="copy the lessons to a folder and open JupyterLab there")
    lab.add_argument("folder", nargs="?", type=Path, default=Path("reliab-lessons"))
    lab.add_argument(
        "more", nargs="*", metavar="-- OPTIONS", help="handed on to JupyterLab, e.g. -- --port=9000"
    )

    commands.add_parser("doctor", help="try every analysis on this machine: green or red")

    card = commands.add_parser("card", help="write the reliability card of a model")
    card.add_argument(
        "--model", required=True, help="a network of the zoo, or package.module:function of a model"
    )
    card.add_argument(
        "--data",
        default="zoo",
        help="a folder with one folder of images for each class, package.module:function of a "
        "torch data set, or zoo (the test images in the box)",
    )
    card.add_argument("--out", type=Path, default=Path("card.html"), help="a file ending in .html")
    card.add_argument("--n", type=int, default=500, help="how many images (500)")
    card.add_argument("--size", type=int, help="scale and crop images to so many pixels a side")

    given = parser.parse_args(arguments)
    try:
        if given.command == "lab":
            from .lessons import lab as run

            return run(given.folder, given.more)
        if given.command == "doctor":
            from .doctor import doctor

            return doctor()
        from .cards import card as write

        return write(given.model, given.data, given.out, given.n, given.size)
    except (ValueError, TypeError, OSError) as error:
        print(f"reliab-widgets: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("reliab-widgets: stopped", file=sys.stderr)
        return 130
