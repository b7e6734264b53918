from html.parser import HTMLParser

import pytest

from scale_match.report.markup import Markup, element, number, text_of

NASTY = "</td><script>alert('x')</script> & \"quoted\" ä"


def test_foreign_text_cannot_become_markup():
    class Reader(HTMLParser):
        tags, texts, attributes = [], [], []

        def handle_starttag(self, tag, attrs):
            self.tags.append(tag)
            self.attributes += attrs

        def handle_data(self, data):
            self.texts.append(data)

    reader = Reader()
    reader.feed(element("td", NASTY, title=NASTY, data_value=NASTY))
    assert reader.tags == ["td"]
    assert "".join(reader.texts) == NASTY
    assert reader.attributes == [("title", NASTY), ("data-value", NASTY)]


def test_markup_is_taken_as_it_is():
    assert element("p", Markup("<b>"), "<b>") == "<p><b>&lt;b&gt;</p>"
    assert text_of("a < b", element("br")) == "a &lt; b<br>"
    assert isinstance(text_of("a"), Markup)


def test_attributes_may_be_absent_bare_or_numbers():
    made = element("input", disabled=True, hidden=False, max=None, width=2.5, class_="a")
    assert made == '<input disabled width="2.5" class="a"></input>'


def test_an_attribute_may_be_called_name():
    assert element("meta", name="x") == '<meta name="x">'


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (-0.004, "0"), (1.005, "1"), (1.239, "1.24"), (-3.5, "-3.5")]
)
def test_numbers_are_short(value, text):
    assert number(value) == text
