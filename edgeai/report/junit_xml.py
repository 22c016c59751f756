"""Pieces of JUnit XML: elements whose text is what XML can hold, and the document as text."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped (section 2.2 of the recommendation)."""


def clean(text: str) -> str:
    """Return text with a mark in place of what XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def element(tag: str, text: str = "", /, **attributes: str) -> ET.Element:
    """Return an element with its attributes and text."""
    made = ET.Element(tag, {name: clean(value) for name, value in attributes.items()})
    made.text = clean(text) or None
    return made


def to_text(root: ET.Element) -> str:
    """Return the document, indented."""
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
