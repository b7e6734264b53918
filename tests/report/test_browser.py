"""The page in headless Chromium; skipped, with a sentence, where there is none."""

import json
import os
import re
import shutil
import subprocess

import pytest

from scale_match.report.build import build_report

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Reads the page in a frame as wide as a phone, sorts a table by each column, and says what it saw.
_PROBE = """<!DOCTYPE html><title>probe</title><body>
<iframe id="frame" style="width: 360px; height: 800px; border: 0"></iframe><pre id="seen"></pre>
<script>
const frame = document.getElementById("frame");
frame.addEventListener("load", () => {
  const page = frame.contentDocument;
  const table = [...page.querySelectorAll("#images table.sortable")][0];
  const texts = () => [...table.tBodies[0].rows].map((row) => row.cells[2].textContent);
  const button = table.tHead.rows[0].cells[2].querySelector("button");
  const seen = { before: texts() };
  button.focus();
  seen.focused = page.activeElement === button;
  button.click();
  seen.up = texts();
  seen.sort = button.closest("th").getAttribute("aria-sort");
  button.click();
  seen.down = texts();
  seen.said = page.getElementById("said").textContent;
  table.tHead.rows[0].cells[0].querySelector("button").click();
  seen.names = [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
  seen.other = button.closest("th").getAttribute("aria-sort");
  for (const part of page.querySelectorAll("details")) part.open = true;
  seen.width = page.documentElement.scrollWidth;
  seen.buttons = page.querySelectorAll("table.sortable th button").length;
  seen.heads = page.querySelectorAll("table.sortable thead th").length;
  seen.picture = page.querySelector("svg.picture").getBoundingClientRect().width;
  document.getElementById("seen").textContent = JSON.stringify(seen);
});
frame.srcdoc = PAGE;
</script>"""


@pytest.fixture(scope="module")
def chromium():
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    return pytest.skip(f"no Chromium was found ({', '.join(_NAMES)}): the page is not opened")


@pytest.fixture(scope="module")
def page(samples):
    return build_report(
        [samples["first"], samples["second"]], images=samples["images"], worst=2, resamples=5
    )[0]


@pytest.fixture
def open_page(chromium, tmp_path):
    def run(html, *options):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        command = [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'user'}",
            "--virtual-time-budget=10000", *options, path.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, env=dict(os.environ)
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


def test_the_script_runs_and_nothing_is_complained_about(open_page, page):
    dom, complaints = open_page(page, "--dump-dom")
    assert complaints == []
    assert '<button type="button">' in dom
    assert page.count("<svg") == dom.count("<svg")


def test_an_error_of_the_page_would_be_seen(open_page, page):
    foreign = page.replace("</main>", '<script>alert(1)</script><img src="x.png"></main>')
    _, complaints = open_page(foreign, "--dump-dom")
    assert len(complaints) >= 2  # the page's own policy refuses both


def test_it_sorts_by_keyboard_and_fits_a_phone(open_page, page):
    dom, complaints = open_page(
        _PROBE.replace("PAGE", json.dumps(page).replace("</", "<\\/")), "--dump-dom"
    )
    assert complaints == []
    seen = json.loads(re.search('<pre id="seen">(.*?)</pre>', dom).group(1).replace("&amp;", "&"))
    numbers = list(map(int, seen["before"]))
    assert list(map(int, seen["up"])) == sorted(numbers)
    assert list(map(int, seen["down"])) == sorted(numbers, reverse=True)
    assert seen["names"] == [f"{k:04d}.jpg" for k in range(1, 5)]
    assert seen["focused"]
    assert (seen["sort"], seen["other"]) == ("ascending", None)
    assert seen["said"] == "sorted by found (first), descending"
    assert seen["width"] <= 360
    assert seen["picture"] <= 360
    assert seen["buttons"] == seen["heads"] > 0


def test_it_can_be_printed(open_page, page, tmp_path):
    printed = tmp_path / "page.pdf"
    open_page(page, f"--print-to-pdf={printed}", "--no-pdf-header-footer")
    assert printed.read_bytes().startswith(b"%PDF")
