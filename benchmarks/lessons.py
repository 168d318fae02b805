"""What a lesson costs its reader: `python -m benchmarks.lessons`, one kernel after the other.

Each lesson runs from top to bottom in a kernel of its own, with one torch thread. Memory is the
largest resident set of that kernel, and what of it, at the end, no other kernel can share (Linux).
"""

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HOME = Path(__file__).parents[1] / "notebooks"
COLUMNS = "CPU s", "wall s", "CPU s to the first question", "most memory, MiB", "its own, MiB"
ASKED = """\
import resource as _resource
_used = _resource.getrusage(_resource.RUSAGE_SELF)
_own = [line.split() for line in open("/proc/self/smaps_rollup") if line.startswith("Private")]
_own = sum(int(line[1]) for line in _own)
print(_used.ru_utime + _used.ru_stime, _used.ru_maxrss / 2**10, _own / 2**10)
"""


def cost(path: Path) -> tuple[float, ...]:
    """Run one lesson and tell what `COLUMNS` names."""
    lesson = nbformat.read(path, as_version=4)
    tags = [cell.metadata.get("tags", []) for cell in lesson.cells]
    first = next((place for place, tag in enumerate(tags) if "exercise" in tag), -1)
    client = NotebookClient(lesson, timeout=600, resources={"metadata": {"path": HOME}})
    asked = nbformat.v4.new_code_cell(ASKED)
    cells = list(enumerate(lesson.cells))
    lesson.cells.append(asked)

    def used() -> list[float]:
        client.execute_cell(asked, len(cells))
        return [float(number) for number in asked.outputs[0].text.split()]

    question = float("nan")
    with client.setup_kernel():
        start = time.monotonic()
        for place, cell in cells:
            client.execute_cell(cell, place)
            if place == first:
                question = used()[0]
        wall = time.monotonic() - start
        processor, most, own = used()
    return processor, wall, question, most, own


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    print("lesson", *COLUMNS, sep=" | ")
    for path in map(Path, sys.argv[1:] or sorted(HOME.glob("*.ipynb"))):
        print(path.stem, *(f"{number:.0f}" for number in cost(path)), sep=" | ", flush=True)
