"""The compress report: well-formed, self-contained, escaped, and true to its document."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from edgeai.report.html import render_compress_report

VOID = {"meta", "br", "img", "link", "input", "hr"}


class _Page(HTMLParser):
    """Collects text and attributes, and checks that every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_every_element_is_closed(document: dict[str, Any]) -> None:
    assert _Page(render_compress_report(document)).open == []


def test_page_loads_nothing_from_anywhere(document: dict[str, Any]) -> None:
    page = _Page(render_compress_report(document))
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not [value for name, value in page.attributes if name in ("src", "href")]
    assert not [word for word in page.words if "@import" in word or "url(" in word]


@pytest.mark.parametrize(
    "figure",
    [
        "digits.onnx",
        "build/digits.edge",
        "3.57×",
        "3.41 to 3.72×",
        "118 kB",
        "27.3 µs",
        "29.1 µs",
        "99.72 %",
        "99.83 %",
        "0.14 points",
        "−0.26 to 0.63 points",
        "718",
        "about 1,420 samples",
        "41.7 s",
        "Example CPU 9000",
        "1.31.1",
        "slower than float: 0.73x (0.71 to 0.74)",
        "calibration",
        "onnx → simplify → emit",
    ],
)
def test_figures_of_the_document_are_on_the_page(document: dict[str, Any], figure: str) -> None:
    assert figure in _Page(render_compress_report(document)).text.replace("\N{NO-BREAK SPACE}", " ")


def test_every_candidate_is_on_the_page_with_its_reason(document: dict[str, Any]) -> None:
    text = _Page(render_compress_report(document)).text
    for candidate in document["candidates"]:
        assert candidate["id"] in text
        assert (candidate["reason"] or "") in text


def test_values_are_escaped(document: dict[str, Any]) -> None:
    attack = "<script>alert(1)</script>\"'&"
    document["source"] = document["bundle"] = attack
    document["binding_limit"] = document["metric"] = attack
    for candidate in document["candidates"]:
        for key in (
            "id",
            "format",
            "precision",
            "recipe",
            "verdict",
            "status",
            "reason",
            "engine",
            "delegate",
            "split",
        ):
            candidate[key] = attack
        candidate["notes"] = [attack]
    document["machine"] = document["tools"] = document["parity"] = {attack: attack}
    page = _Page(render_compress_report(document))
    assert "script" not in page.tags
    assert page.open == []


def test_candidate_of_nulls_is_shown_as_unknown(document: dict[str, Any]) -> None:
    document["candidates"] = [dict.fromkeys(document["best"])]
    assert "–" in _Page(render_compress_report(document)).text


def test_document_of_nulls_still_makes_a_page(document: dict[str, Any]) -> None:
    text = _Page(render_compress_report(dict.fromkeys(document))).text
    assert "No candidate could be made" in text


def test_without_data_nothing_is_claimed_about_accuracy(document: dict[str, Any]) -> None:
    for key in ("drop", "drop_ci95", "score", "source_score", "flip_rate", "n", "verdict"):
        document["best"][key] = None
    text = _Page(render_compress_report(document)).text
    assert "nothing is claimed about the accuracy" in text
    assert "Nothing was certified" in text


def test_binding_limit_is_told_first(document: dict[str, Any]) -> None:
    document["binding_limit"] = "max_size"
    text = _Page(render_compress_report(document)).text
    assert "the limit that binds is max_size" in text
    assert text.index("the limit that binds") < text.index("Gained")


def test_same_document_gives_the_same_page(document: dict[str, Any]) -> None:
    assert render_compress_report(document) == render_compress_report(document)
