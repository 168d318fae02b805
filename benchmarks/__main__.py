"""`make bench`: measure speed on this machine and write it to README.md beside this file."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import reliab_widgets as rw

from . import in_browser, in_python, propagation, pruning, saliency
from .measured import Measured

NETWORK = "resnet20"
PACKAGES = ("torch", "captum", "numpy", "matplotlib", "ipywidgets", "ipykernel", "jupyterlab")
HEAD = """\
# Speed

Written by `make bench` on {date}, on {machine}.
The load was {load:.1f} when it began; 0 is idle. All numbers come from one run with
`rw.demo("{network}")`: 2,000 test images, 10 classes.

## In the browser

What a person waits for: from the key or the click to the frame that shows the answer, in JupyterLab
and Chromium on the same machine. The aim is 100 ms for sliders and 300 ms for Cancel.

"""
IN_PYTHON = """
## In Python

The first three lines are CPU time of one step of a slider; the others are elapsed time.

"""
PROPAGATION = """
## An attack, layer by layer

CPU time, each line in turns with the one it is compared with. The aim is 1.3 for the distances at
all layers and 1.25 for the whole analysis.

"""
SALIENCY = """
## Maps and deletion curves

CPU time, each line in turns with the one it is compared with. The aim is 3 for captum's occlusion
at its default and 1 at its best, 1.15 for integrated gradients and 1.2 for deletion.

"""
PRUNING = """
## Filters that go

CPU time, each line in turns with the one it is compared with. The aim is 1.3 for the scores, 0.5
for the oracle and 1.2 for the sweep.

"""
SECTIONS = {
    IN_PYTHON: in_python.measure,
    PROPAGATION: propagation.measure,
    SALIENCY: saliency.measure,
    PRUNING: pruning.measure,
}


def main() -> None:
    """Measure, print each line as it comes, and write the file."""
    load = os.getloadavg()[0]
    head = HEAD.format(date=datetime.now(UTC).date(), machine=machine(), load=load, network=NETWORK)
    text = head + table(in_browser.measure(NETWORK))
    for words, measure in SECTIONS.items():
        text += words + table(measure(rw.demo(NETWORK)))
    (Path(__file__).parent / "README.md").write_text(text, encoding="utf-8")


def table(lines: Iterable[Measured]) -> str:
    rows = ["| | median | 90 % | n |", "|---|---:|---:|---:|"]
    for line in lines:
        rows.append(line.row())
        print(rows[-1], flush=True)
    return "".join(f"{row}\n" for row in rows)


def machine() -> str:
    """The processor and the versions that matter; nothing that names this computer."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        fields = (line.partition(":") for line in information.read_text().splitlines())
        processor = next((it.strip() for name, _, it in fields if "model name" in name), processor)
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{processor}, {os.cpu_count()} cores, {system}, {packages}"


if __name__ == "__main__":
    main()
