"""The workbench as a page without code, which Voila shows: the address says what is chosen."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from reliab_widgets.ui.address import address
from tests.browser.lab import ROOT, Server, picture

pytestmark = [pytest.mark.browser, pytest.mark.slow("a server and a kernel of its own")]

CHOSEN = {"tab": "reliability", "index": 42, "model": "untrained", "bins": 10}
ICONS = "@fortawesome"  # Voila's own page asks for its icons elsewhere


def test_the_address_says_what_is_chosen(context: BrowserContext, tmp_path: Path) -> None:
    app = str(ROOT / "notebooks" / "app.ipynb")
    faults: list[str] = []
    with Server("voila", app, "--Voila.ip=127.0.0.1", scratch=tmp_path) as server:
        page = context.new_page()
        page.on("pageerror", lambda it: faults.append(f"page: {it.stack}"))
        page.on(
            "request",
            lambda it: (
                it.url.startswith((server.url, "data:", "blob:"))
                or ICONS in it.url
                or faults.append(f"outside: {it.url}")
            ),
        )
        page.goto(server.url + "/" + address(CHOSEN))
        bench = page.locator(".rw-bench")
        expect(picture(bench.locator(".rw-body"))).to_be_visible()
        expect(page.locator(".jp-InputArea-editor, .highlight")).to_have_count(0)
        expect(bench.locator(".rw-tabs .rw-on")).to_have_text("Reliability")
        expect(bench.locator(".rw-side")).to_contain_text("Image 42 ")
        expect(bench.locator(".rw-variants .rw-on").first).to_have_text("untrained")
        bins = bench.locator(".widget-inline-hbox", has_text=re.compile(r"^\s*Bins"))
        expect(bins.locator(".widget-readout")).to_have_text("10")
        page.get_by_role("button", name="vgg", exact=True).click()
        expect(bench.locator(".rw-body [aria-live=polite]")).not_to_contain_text("untrained")
        expect(bench.get_by_role("alert").locator("visible=true")).to_have_count(0)
        assert faults == []
        page.close()
