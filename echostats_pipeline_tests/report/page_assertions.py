"""Assertions for every HTML page: it is well-formed, it loads nothing, and names are only text."""

import re
from xml.etree import ElementTree as ET

LOADING = {"src", "srcset", "poster", "background", "action", "formaction", "data", "ping", "manifest"}
FORBIDDEN = {"script", "link", "iframe", "object", "embed", "base", "form", "audio", "video", "source", "img"}


def parsed(html: str) -> ET.Element:
    """The page as an XML tree; an XML parser accepts no error."""
    assert html.lstrip().startswith("<!DOCTYPE html>")
    return ET.fromstring(html)


def assert_loads_nothing(html: str) -> None:
    for element in parsed(html).iter():
        assert element.tag not in FORBIDDEN
        for name, value in element.attrib.items():
            assert not name.startswith("on"), name
            assert name not in LOADING
            if name == "href":
                assert element.tag == "a" or value.startswith(("#", "data:image/")), value
                assert element.tag != "a" or value.startswith("https://open.spotify.com/")
            else:
                assert "url(" not in value
    (style,) = [element.text or "" for element in parsed(html).iter("style")]
    assert "@import" not in style
    assert set(re.findall(r"url\(([^)]*)\)", style)) <= {"#stripes"}


def text_of(html: str) -> str:
    return " ".join(" ".join(parsed(html).itertext()).split())
