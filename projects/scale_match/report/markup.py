"""HTML and SVG elements as strings in which foreign text cannot become markup."""

from html import escape

__all__ = ["Markup", "element", "number", "text_of"]

# Elements of HTML that have neither content nor an end tag.
_VOID = frozenset({"br", "col", "hr", "img", "link", "meta"})


class Markup(str):
    """A text that is HTML already. Every other text is escaped where it enters an element."""

    __slots__ = ()


def element(name: str, /, *content: str, **attributes: str | float | bool | None) -> Markup:
    """An HTML or SVG element.

    Args:
        name: Its name.
        *content: Markup is taken as it is, any other text is escaped.
        **attributes: Attributes of HTML; a final ``_`` is dropped and others become ``-``, so that
            ``class_`` and ``aria_label`` can be written. None and False leave the attribute out,
            True gives it no value, and numbers have two decimals at most.

    Returns:
        The element.

    Example:
        >>> element("p", "a < b", Markup("<br>"), class_="note", aria_label='"')
        '<p class="note" aria-label="&quot;">a &lt; b<br></p>'
    """
    pairs = "".join(
        _attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()
    )
    start = f"<{name}{pairs}>"
    if name in _VOID:
        return Markup(start)
    return Markup(start + text_of(*content) + f"</{name}>")


def text_of(*content: str) -> Markup:
    """Several contents as one; what is no markup is escaped.

    Args:
        *content: As for :func:`element`.

    Returns:
        The markup.
    """
    return Markup(
        "".join(part if isinstance(part, Markup) else escape(part, quote=False) for part in content)
    )


def number(value: float) -> str:
    """A coordinate: two decimals at most, no trailing zeros.

    Example:
        >>> number(12.5), number(3.0), number(1 / 3), number(-0.001)
        ('12.5', '3', '0.33', '0')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _attribute(name: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = value if isinstance(value, str) else number(value)
    return f' {name}="{escape(text)}"'
