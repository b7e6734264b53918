import base64
import hashlib
import re

from scale_match.report.markup import element
from scale_match.report.page import Section, build_page

PAGE = build_page(
    "A <title>",
    "sub & title",
    [Section("one", "First", element("p", "hello")), Section("two", "Second", element("p"))],
)


def test_sections_have_headings_and_are_linked():
    assert PAGE.count("<h1>") == 1
    assert "<h1>A &lt;title&gt;</h1>" in PAGE
    assert '<a href="#one">First</a>' in PAGE
    assert '<section id="one" aria-labelledby="one-heading">' in PAGE
    assert '<h2 id="one-heading">First</h2><p>hello</p></section>' in PAGE


def test_it_is_for_every_screen_and_names_its_language():
    assert PAGE.startswith('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">')
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in PAGE
    for rule in ("prefers-color-scheme: dark", "@media print", "@media (min-width"):
        assert rule in PAGE


def test_nothing_is_loaded_from_elsewhere():
    addresses = re.findall(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]*)""", PAGE)
    assert addresses
    assert all(address.startswith("#") for address in addresses)
    assert "//" not in re.sub(r"^\s*//.*$", "", PAGE, flags=re.MULTILINE)  # the script's comments
    assert set(re.findall(r"url\(([^)]*)\)", PAGE)) == {"#hatch", "#dots"}
    assert "@import" not in PAGE


def test_the_browser_is_told_to_refuse_anything_but_the_pages_own_script():
    (script,) = re.findall(r"<script>(.*?)</script>", PAGE, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src &#x27;none&#x27;; img-src data:;" in PAGE
    assert f"script-src &#x27;sha256-{digest}&#x27;" in PAGE


def test_the_fillings_of_the_style_sheet_exist():
    for name in ("hatch", "dots"):
        assert f'<pattern id="{name}"' in PAGE
