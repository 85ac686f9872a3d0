"""The operator's page in a real Chromium, over a running bridge, a real PostgreSQL and the sandbox Engram."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import chromium, served
from tests.conftest import Server, fresh_database
from tests.rig import Rig

HOSTILE = "<img src=x onerror=alert(1)>"
SHOP = f"""
create table orders (id int primary key, note text);
insert into orders select g, 'note ' || g from generate_series(1, 40) g;
create table "{HOSTILE}" (id int primary key, note text);
insert into "{HOSTILE}" values (1, '<script>alert(2)</script>');
"""
REFUSAL = "status of 409"
"""Chromium tells of each answer that is no success; the one to a refused change is meant."""

EASY = {"steady": 0, "min_shadow_reads": 0, "max_target_p99": 10, "max_heartbeat": 60, "automatic_return": False}
"""Thresholds that a busy machine keeps to."""

LONG, AT_ONCE = 120_000, 20_000
"""Milliseconds: for what waits for the bridge, and for what the page has to show at once."""


@dataclass
class Site:
    """A page, what it looks at, and what its console said."""

    rig: Rig
    address: str
    browser: Browser
    page: Page
    said: list[str] = field(default_factory=list)

    def table(self, name: str) -> str:
        """The selector of a table's line."""
        return f'#tables > li[data-table="{name}"]'

    def change(self, line: Locator, mode: str, share: int | None = None) -> None:
        """Choose where the reads of an open line go, and confirm it."""
        line.locator(".choice", has_text=mode).click()
        if share is not None:
            line.locator("input[type=number]").fill(str(share))
        line.get_by_role("button", name="Change…").click()
        self.page.locator("dialog").get_by_role("button", name="Change").click()

    def read(self, count: int) -> None:
        """Reads through the proxy, as an application would send them."""
        for number in range(count):
            with urllib.request.urlopen(f"{self.address}/v1/orders/{number % 40 + 1}", timeout=10) as answer:
                assert answer.status == 200


@pytest.fixture(scope="module")
def site(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One bridge, one proxy, one browser for all tests here: each leaves them as it found them."""
    folder: Path = tmp_path_factory.mktemp("page")
    databases = fresh_database(postgres)
    rig = Rig(folder, next(databases), cutover=EASY)
    try:
        with chromium() as browser:
            rig.sql(SHOP)
            rig.start()
            rig.wait_until_proven()
            with served(rig.file, folder) as address:
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                found = Site(rig, address, browser, page)
                page.on("console", lambda message: found.said.append(f"{message.type}: {message.text}"))
                page.on("pageerror", lambda error: found.said.append(f"error: {error}"))
                page.on("dialog", lambda dialog: found.said.append(f"dialog: {dialog.message}"))
                page.goto(address)
                expect(page.locator("#headline")).to_have_text("All is well. Nothing needs you.", timeout=LONG)
                yield found
                assert [line for line in found.said if REFUSAL not in line] == [], "the browser's console"
    finally:
        rig.close()
        databases.close()


def test_numbers_move(site: Site) -> None:
    """What the application writes and reads is seen without anybody asking for it."""
    page = site.page
    received = page.locator("#positions .lsn").first.inner_text()
    site.rig.sql("insert into orders select g, 'more' from generate_series(101, 150) g")
    expect(page.locator(f"{site.table('public.orders')} .cell.rows")).to_have_text("90", timeout=LONG)
    expect(page.locator("#positions .lsn").first).not_to_have_text(received, timeout=LONG)
    site.read(30)
    expect(page.locator("#node-proxy .facts dd").nth(1)).to_have_text(re.compile(r"3\d · 100\s%"), timeout=LONG)
    expect(page.locator("#node-bridge .facts dd").nth(1)).to_have_text(re.compile("ms|s$"), timeout=LONG)


def test_a_hostile_table_name_is_text(site: Site) -> None:
    """A table may be called like markup; the page shows its name, and so does the summary for those without JavaScript."""
    line = site.page.locator("#tables > li").filter(has_text=HOSTILE)
    expect(line).to_have_count(1)
    expect(site.page.locator("main img[src=x]")).to_have_count(0)
    with urllib.request.urlopen(site.address, timeout=10) as answer:
        markup, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
    assert HOSTILE not in markup
    assert "&lt;img src=x onerror=alert(1)&gt;" in markup
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_a_share_is_refused_with_its_gates_and_forced_with_a_reason(site: Site) -> None:
    """Closed gates are shown with what to do; with a reason it goes on, and the audit trail has it. Back needs no gate."""
    page, line = site.page, site.page.locator(site.table("public.orders"))
    line.locator(".open").click()
    line.locator(".choice", has_text="Engram").click()
    line.locator("input[type=number]").fill("25")
    line.get_by_role("button", name="Change…").click()
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("public.orders: postgres → engram 25 %")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog.locator(".refused")).to_contain_text("Last validation")
    expect(dialog.locator(".refused .remedy").first).not_to_be_empty()
    expect(line.locator(".mode")).to_have_text("postgres")
    dialog.locator("#why").fill("the test says so")
    dialog.locator("#force").check()
    dialog.get_by_role("button", name="Try again").click()
    expect(line.locator(".mode")).to_have_text("engram 25 %", timeout=AT_ONCE)
    expect(page.locator("#audit")).to_contain_text("postgres → engram 25 %, forced past", timeout=AT_ONCE)
    expect(page.locator("#audit")).to_contain_text("the test says so")
    site.change(line, "PostgreSQL")
    expect(line.locator(".mode")).to_have_text("postgres", timeout=AT_ONCE)
    line.locator(".open").click()


def test_a_share_goes_through_open_gates(site: Site) -> None:
    """Compared in the shadow and validated, all from the page: the gates open, Engram answers a share, and it goes back."""
    line = site.page.locator(site.table("public.orders"))
    line.locator(".open").click()
    site.change(line, "Shadow", 100)
    expect(line.locator(".mode")).to_have_text("shadow 100 %", timeout=AT_ONCE)
    site.read(10)
    line.get_by_role("button", name="Validate now: public.orders").click()
    expect(line.locator(".validation")).to_contain_text("Clean", timeout=LONG)
    expect(line.locator(".cell.gates")).to_have_text("all open", timeout=LONG)
    site.change(line, "Engram", 100)
    expect(line.locator(".mode")).to_have_text("engram 100 %", timeout=AT_ONCE)
    time.sleep(2.0)  # within a second all proxies know
    site.read(10)
    expect(line.locator(".bars")).to_contain_text("from engram", timeout=LONG)
    site.change(line, "PostgreSQL")
    expect(line.locator(".mode")).to_have_text("postgres", timeout=AT_ONCE)
    line.locator(".open").click()


def test_what_reconciliation_finds_is_seen(site: Site) -> None:
    """A memory that is lost behind everybody's back: the page says what it was and that it is mended."""
    site.rig.engram.damage("orders", "orders_7")
    done = site.rig.command("reconcile", "--table", "orders")
    assert done.returncode == 3, done.stdout + done.stderr
    finding = site.page.locator("#findings > li").first
    expect(finding).to_contain_text("public.orders 7", timeout=LONG)
    expect(finding).to_contain_text("missing")
    expect(finding).to_contain_text("read again from PostgreSQL and written")
    expect(site.page.locator("#reconcile-facts")).to_contain_text("Not mended0")


def test_the_keyboard_reaches_everything(site: Site) -> None:
    """From the top: the skip link, then each table's line, which opens by a key; in it mode and share."""
    page = site.page
    page.goto(site.address)
    expect(page.locator("#headline")).to_be_visible(timeout=LONG)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    line = page.locator(site.table("public.orders"))
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('li[data-table]')?.dataset.table") == "public.orders":
            break
    expect(line.locator(".open")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(line.locator("input[type=radio]:checked")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(line.locator("input[value=shadow]")).to_be_checked()
    page.keyboard.press("Tab")
    expect(line.locator("input[type=range]")).to_be_focused()
    line.get_by_role("button", name="Undo").click()
    line.locator(".open").click()


def test_a_phone_has_no_horizontal_scroll(site: Site) -> None:
    """390 pixels hold it all, with a table open, in the dark; what is there at the first paint is there within a second."""
    context = site.browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark", reduced_motion="reduce")
    page = context.new_page()
    page.goto(site.address)
    expect(page.locator("#headline")).to_be_visible(timeout=LONG)
    page.locator(f"{site.table('public.orders')} .open").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_it_is_read_without_scripts(site: Site) -> None:
    """The server writes the essential facts into the page."""
    context = site.browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.address)
    expect(page.locator("#summary")).to_contain_text("All is well")
    expect(page.locator("#summary")).to_contain_text("public.orders")
    context.close()


def test_a_killed_target_turns_red_and_green_again(site: Site) -> None:
    """Within five seconds the page says what is wrong, since when and what to do; and when it is over, that all is well."""
    page = site.page
    site.rig.engram.kill()
    expect(page.locator("#node-target")).to_have_attribute("data-level", "bad", timeout=AT_ONCE)
    expect(page.locator("#verdict")).to_have_attribute("data-level", "bad", timeout=AT_ONCE)
    trouble = page.locator("#troubles > li").first
    expect(trouble).to_contain_text("Engram cannot be reached")
    expect(trouble.locator("time")).to_contain_text("since")
    expect(trouble.locator(".do")).to_be_visible()
    expect(page.locator("#node-proxy")).to_have_attribute("data-level", "good")
    site.rig.engram.start()
    expect(page.locator("#node-target")).to_have_attribute("data-level", "good", timeout=LONG)
    expect(page.locator("#headline")).to_have_text("All is well. Nothing needs you.", timeout=LONG)


def test_without_the_stream_it_asks_again_and_again(site: Site) -> None:
    """Where something in between breaks the stream, polling keeps the page live; where nothing answers, the page says so."""
    context = site.browser.new_context()
    page = context.new_page()
    page.route("**/ops/events", lambda route: route.abort())
    page.goto(site.address)
    expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=LONG)
    seen = page.locator("#live-text").inner_text()
    expect(page.locator("#live-text")).not_to_have_text(seen, timeout=LONG)
    page.route("**/ops/figures", lambda route: route.abort())
    expect(page.locator("#verdict")).to_have_attribute("data-level", "unknown", timeout=LONG)
    expect(page.locator("#headline")).to_have_text("The proxy does not answer this page")
    context.close()


def test_a_token_decides_what_can_be_done(site: Site, tmp_path: Path) -> None:
    """Asked for once, kept by the tab, in no address; the read token shows everything and changes nothing."""
    tokens = {"ENGRAM_BRIDGE_READ_TOKEN": "r" * 24, "ENGRAM_BRIDGE_OPERATE_TOKEN": "o" * 24}
    with served(site.rig.file, tmp_path, **tokens) as address:
        context = site.browser.new_context()
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        dialog = page.locator("dialog")
        for token, disabled in (("r" * 24, True), ("o" * 24, False)):
            dialog.locator("#token").fill(token)
            dialog.locator("#name").fill("Ann")
            dialog.locator("#token").press("Enter")
            expect(page.locator("#headline")).to_be_visible(timeout=LONG)
            page.locator(f"{site.table('public.orders')} .open").click()
            button = page.get_by_role("button", name="Validate now: public.orders")
            expect(button).to_be_disabled() if disabled else expect(button).to_be_enabled()
            if disabled:
                page.get_by_role("button", name="Sign out Ann").click()
        assert not [url for url in asked if "rrrr" in url or "oooo" in url]
        button.click()
        expect(page.locator("#toast")).to_contain_text("A validation of public.orders is asked for")
        expect(page.locator(f"{site.table('public.orders')} .validation")).to_contain_text("Ann@127.0.0.1", timeout=LONG)
        context.close()
