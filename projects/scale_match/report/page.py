"""The skeleton of the page: one file that loads nothing, with its sections and their list."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from scale_match.report.markup import Markup, element, text_of

__all__ = ["Section", "build_page"]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes:
        identity: Unique on the page; the target of links.
        title: Its heading.
        content: What stands below it.
    """

    identity: str
    title: str
    content: Markup


def build_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole page.

    Args:
        title: Its heading and the name of the window.
        subtitle: A line below it.
        sections: In their order.

    Returns:
        HTML, to be written as UTF-8. It names no address outside of itself, and says so to the
        browser, which then refuses to load anything and to run any script but the page's own.
    """
    script = _file("sort.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(_file("style.css"))),
    )
    links = [element("li", element("a", each.title, href=f"#{each.identity}")) for each in sections]
    body = element(
        "body",
        element(
            "header",
            element("h1", title),
            element("p", subtitle, class_="soft"),
            element("nav", element("ul", *links), aria_label="Sections"),
        ),
        element("main", *map(_section, sections)),
        element("div", id="said", class_="hidden", role="status"),
        _patterns(),
        element("script", Markup(script)),
    )
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n"


def _section(section: Section) -> Markup:
    heading = element("h2", section.title, id=f"{section.identity}-heading")
    return element(
        "section",
        text_of(heading, section.content),
        id=section.identity,
        aria_labelledby=f"{section.identity}-heading",
    )


def _patterns() -> Markup:
    """Fillings that the style sheet refers to."""
    hatch = element("line", x1="0", y1="0", x2="0", y2="5", class_="hatch-line")
    dot = element("circle", cx="2", cy="2", r="1.1", class_="dot")
    defs = element(
        "defs",
        _pattern("hatch", hatch, size="5", turned="rotate(45)"),
        _pattern("dots", dot, size="4", turned="rotate(30)"),
    )
    return element("svg", defs, width="0", height="0", class_="hidden", aria_hidden="true")


def _pattern(identity: str, mark: Markup, *, size: str, turned: str) -> Markup:
    return element(
        "pattern",
        mark,
        id=identity,
        width=size,
        height=size,
        patternUnits="userSpaceOnUse",
        patternTransform=turned,
    )


def _file(name: str) -> str:
    return files("scale_match.report").joinpath(name).read_text(encoding="utf-8")
