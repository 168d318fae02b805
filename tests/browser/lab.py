"""JupyterLab in a real browser: a server of its own, and a notebook that is used as by hand."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import BrowserContext, Locator, Page, Playwright, WebSocket, expect

ROOT = Path(__file__).parents[2]
NO_BROWSER = "no Chromium found: `apt install chromium` or `playwright install chromium`"
ON_PATH = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-gpu")
WINDOW = {"width": 1366, "height": 768}  # the laptop that the widgets are laid out for
WIDTH, HEIGHT = 880, 560  # what it shows beside JupyterLab's own parts
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}
RAN = """() => document.querySelector('[data-mime-type="application/vnd.jupyter.stderr"]')
  || [...document.querySelectorAll('.jp-InputPrompt')]
    .every(prompt => /\\[\\d+\\]/.test(prompt.textContent))"""
# JupyterLab 4.6 now and then takes its own splash screen off the page twice.
SPLASH = re.compile(r"'removeChild'.*\n.*/static/lab/jlab_core")
# What users cannot read to its end; a closed list has its end when it is opened.
CUT = """it => [...it.querySelectorAll('.widget-label, .widget-readout, .rw-strip, button')]
  .filter(part => part.checkVisibility() && part.scrollWidth > part.clientWidth)
  .map(part => `${part.textContent}: ${part.scrollWidth} > ${part.clientWidth}`)"""
# What must come is waited for longer than on a machine of one's own; how soon is another question,
# which the benchmarks ask.
PATIENCE = 90_000  # milliseconds, as Playwright counts
expect.set_options(timeout=PATIENCE)
KERNELS = "@jupyterlab/apputils-extension:kernels-settings"


def chromium(playwright: Playwright) -> str | None:
    """The path of an installed Chromium: the system's, or Playwright's own."""
    own = playwright.chromium.executable_path
    found = next(filter(None, map(shutil.which, ON_PATH)), None)
    return found or (own if Path(own).exists() else None)


@contextmanager
def browser(playwright: Playwright, executable: str, profile: Path) -> Iterator[BrowserContext]:
    """An empty browser that lets pages use the clipboard."""
    context = playwright.chromium.launch_persistent_context(
        profile, executable_path=executable, args=FLAGS, viewport=WINDOW, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    try:
        yield context
    finally:
        context.close()


class Server:
    """A Jupyter application that serves pages; it keeps everything of its own in ``scratch``."""

    def __init__(self, app: str, *arguments: str, scratch: Path) -> None:
        self.scratch = scratch
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        mine = {
            f"JUPYTER_{part}_DIR": str(scratch / part.lower())
            for part in ("CONFIG", "DATA", "RUNTIME")
        }
        mine["JUPYTERLAB_SETTINGS_DIR"] = str(scratch / "settings")
        mine["JUPYTERLAB_WORKSPACES_DIR"] = str(scratch / "workspaces")
        mine["IPYTHONDIR"] = str(scratch / "ipython")
        mine["PYTHONPATH"] = str(ROOT)
        environment = os.environ | mine
        environment.pop("MPLBACKEND", None)  # set for the tests, not by users
        command = [sys.executable, "-m", app, "--no-browser", f"--port={port}", *arguments]
        self._log = scratch / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def __enter__(self) -> Self:
        end = time.monotonic() + 90
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/api/status", timeout=5):
                    return self
            except urllib.error.HTTPError:
                return self  # Voila answers, though it has no such page
            except OSError:
                time.sleep(0.2)
        self.__exit__()
        raise RuntimeError(f"the server did not start:\n{self._log.read_text()[-3000:]}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Lab(Server):
    """A JupyterLab server that serves ``folder``."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder, self.scratch = folder, scratch
        for plugin, values in SETTINGS.items():
            self.set(plugin, values)
        super().__init__(
            "jupyterlab", "--allow-root", f"--ServerApp.root_dir={folder}",
            "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", "--IdentityProvider.token=",
            "--expose-app-in-browser", "--LabApp.news_url=", "--LabApp.extension_manager=readonly",
            scratch=scratch,
        )  # fmt: skip

    def set(self, plugin: str, values: dict[str, Any]) -> None:
        """Write settings of JupyterLab; pages opened from now on follow them."""
        package, name = plugin.split(":")
        path = self.scratch / "settings" / package / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def write_notebook(path: Path, *cells: str) -> None:
    """Write a notebook of code cells."""
    written = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "source": cell,
            "outputs": [],
            "execution_count": None,
        }
        for number, cell in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}}
    path.write_text(json.dumps(content | {"cells": written}))


class Notebook:
    """An open notebook. ``faults`` are all errors of cells, kernel, console, page and network."""

    def __init__(self, context: BrowserContext, lab: Lab, name: str) -> None:
        self.page: Page = context.new_page()
        self.faults: list[str] = []
        self._watch(lab.url)
        self.page.goto(f"{lab.url}/doc/tree/{name}?reset")
        self.wait_for_kernel()

    def _watch(self, url: str) -> None:
        page, fault = self.page, self.faults.append
        page.on("console", lambda it: it.type == "error" and fault(f"console: {it.text}"))
        page.on("pageerror", lambda it: SPLASH.search(it.stack or "") or fault(f"page: {it.stack}"))
        # A reload breaks requests off, which is no fault.
        page.on(
            "requestfailed",
            lambda it: it.failure == "net::ERR_ABORTED" or fault(f"request: {it.url} {it.failure}"),
        )
        page.on("response", lambda it: it.status >= 400 and fault(f"{it.status}: {it.url}"))
        inside = (url, "data:", "blob:", "about:")
        page.on("request", lambda it: it.url.startswith(inside) or fault(f"outside: {it.url}"))

        def listen(socket: WebSocket) -> None:
            socket.on("framereceived", lambda frame: self.faults.extend(kernel_faults(frame)))

        page.on("websocket", listen)

    def wait_for_kernel(self) -> None:
        """Wait until the kernel of the page's notebook is connected and idle."""
        status = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"
        self.page.wait_for_function(f"() => {status} === 'idle'")

    def cell(self, number: int) -> Locator:
        """A code cell with its output."""
        return self.page.locator(".jp-CodeCell").nth(number)

    def run_all(self, timeout: float = 240) -> None:
        """Choose Run > Run All Cells and wait for the last cell, or for the first that fails."""
        self.page.locator(".lm-MenuBar-itemLabel").get_by_text("Run", exact=True).click()
        self.page.locator(".lm-Menu-itemLabel").get_by_text("Run All Cells", exact=True).click()
        self.page.wait_for_function(RAN, timeout=timeout * 1000)

    def run_again(self, number: int) -> None:
        """Press Ctrl+Enter in a cell and wait for its end."""
        prompt = self.cell(number).locator(".jp-InputPrompt")
        before = prompt.inner_text()
        prompt.click()
        self.page.keyboard.press("Control+Enter")
        expect(prompt).not_to_have_text(before)
        expect(prompt).to_have_text(re.compile(r"\[\d+\]"))

    def run_new(self, code: str | None = None) -> str:
        """Add a cell at the end, type ``code`` or paste, run it, and return what it prints."""
        cells = self.page.locator(".jp-CodeCell")
        number = cells.count()
        self.cell(number - 1).locator(".jp-InputPrompt").click()
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("b")
        expect(cells).to_have_count(number + 1)
        self.page.keyboard.press("Enter")
        if code is None:
            self.page.keyboard.press("Control+v")
        else:
            self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Control+Enter")
        new = self.cell(number)
        expect(new.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]"))
        self.page.keyboard.press("Escape")
        return "".join(new.locator(".jp-OutputArea-output").all_inner_texts()).strip()

    def press_in(self, slider: Locator, key: str) -> None:
        """Put the focus on a slider's handle and press a key."""
        slider.locator(".noUi-handle").focus()
        self.page.keyboard.press(key)

    def close(self) -> None:
        """Close the page and end its kernel, which would otherwise go on."""
        session = "window.jupyterapp.shell.currentWidget.sessionContext"
        self.page.evaluate(f"async () => await {session}.shutdown()")
        self.page.close()


def picture(widget: Locator) -> Locator:
    return widget.locator(".rw-picture").locator("visible=true").first  # those of panels follow


def mark(widget: Locator, name: str) -> Locator:
    """What the drawing named so: "bin:3", or "handle:temperature"."""
    return picture(widget).locator(f'[data-mark="{name}"]')


def sentence(widget: Locator) -> Locator:
    return widget.locator("[aria-live=polite]")


def status(widget: Locator) -> Locator:
    return widget.locator("[role=status]").last


def labelled(inside: Locator, label: str) -> Locator:
    """The control (label, handle, readout) whose label reads ``label``."""
    text = inside.page.locator(".widget-label", has_text=re.compile(rf"^\s*{re.escape(label)}\s*$"))
    return inside.locator(".widget-inline-hbox", has=text)


def button(inside: Locator, text: str) -> Locator:
    return inside.get_by_role("button", name=text, exact=True)


def drag(ring: Locator, by: float) -> float:
    """Take a ring with the mouse, move it ``by`` pixels and keep hold of it; returns its new x."""
    mouse = ring.page.mouse
    for _ in range(10):
        ring.hover()
        mouse.down()
        if ring.evaluate("it => it === document.activeElement"):
            break
        mouse.up()  # a late picture has moved it from under the mouse
    expect(ring).to_be_focused()
    start = ring.bounding_box()
    assert start is not None
    x, y = start["x"] + start["width"] / 2, start["y"] + start["height"] / 2
    for step in range(1, 11):
        mouse.move(x + by * step / 10, y)
    return start["x"] + by


def assert_fits(widget: Locator) -> None:
    assert widget.evaluate(CUT) == []
    box = widget.bounding_box()
    assert box is not None
    assert (box["width"] <= WIDTH, box["height"] <= HEIGHT) == (True, True), box
    assert widget.evaluate("it => it.scrollWidth") <= WIDTH


def kernel_faults(frame: str | bytes) -> list[str]:
    """Errors and stderr in a message of the kernel, also those that no cell shows."""
    if isinstance(frame, str):
        return []
    # v1.kernel.websocket.jupyter.org: count, offsets, channel, header, parent, metadata, content
    (count,) = struct.unpack_from("<Q", frame)
    starts = struct.unpack_from(f"<{count}Q", frame, 8)
    parts = [frame[a:b] for a, b in pairwise(starts)]
    try:
        header, content = json.loads(parts[1]), json.loads(parts[4])
    except json.JSONDecodeError:  # a kernel that ends writes from several threads at once
        return [f"unreadable message of the kernel: {parts}"]
    if header["msg_type"] == "error":
        return [f"kernel: {content['ename']}: {content['evalue']}"]
    # JupyterLab asks each new kernel for widgets, before ipywidgets is loaded there.
    early = "No such comm"
    if (
        header["msg_type"] == "stream"
        and content["name"] == "stderr"
        and early not in content["text"]
    ):
        return [f"stderr: {content['text']}"]
    return []
