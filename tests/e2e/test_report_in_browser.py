"""The report in a real browser: nothing reaches over the edge, nothing is complained about, words are to be seen.

One process of Chromium lays both pages out at the width of a phone and of a desktop; another one prints.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPORT_TESTS = Path(__file__).resolve().parents[1] / "unit" / "report"
WIDTHS = (390, 1280)
BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")

MEASURE = """
onload = () => {
  const found = [...document.querySelectorAll('iframe')].map(frame => {
    const page = frame.contentDocument, root = page.documentElement;
    const inner = element => {
      for (let box = element.parentElement; box; box = box.parentElement)
        if (getComputedStyle(box).overflowX !== 'visible' && box !== root && box !== page.body) return true;
      return false;
    };
    const over = [...page.querySelectorAll('main *')].filter(element =>
      element.getBoundingClientRect().right > root.clientWidth + 1 && !inner(element));
    const narrow = [...page.querySelectorAll('.strip')].filter(
      element => element.checkVisibility() && element.getBoundingClientRect().width < 100);
    return {name: frame.id, scroll: root.scrollWidth, width: root.clientWidth, narrow: narrow.length,
            over: over.slice(0, 3).map(element => element.outerHTML.slice(0, 90)), text: page.body.innerText};
  });
  document.body.textContent = 'FOUND' + JSON.stringify(found) + 'END';
};
"""


def chromium(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a fresh headless browser once; its profile stays in `folder`."""
    assert BROWSER is not None
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr")
    command = [BROWSER, *quiet, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages of a benchmark of some runs, of one of fifty, and of a search."""
    program = (
        "import json, conftest, bench_sample;"
        "from edgeai.report.html import render_report as page;"
        "print(json.dumps({'some': page(bench_sample.report().to_json()),"
        "'fifty': page(bench_sample.many_runs(50).to_json()),"
        "'search': page(conftest.search_document())}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPORT_TESTS, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def shown(pages: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What the browser says of each page at each width, and what it printed on its console."""
    folder = tmp_path_factory.mktemp("browser")
    frames = "".join(
        f'<iframe id="{name}-{width}" style="width:{width}px;border:0" srcdoc="{html.escape(page)}"></iframe>'
        for name, page in pages.items()
        for width in WIDTHS
    )
    outer = folder / "outer.html"
    outer.write_text(f"<!DOCTYPE html><body>{frames}<script>{MEASURE}</script></body>", encoding="utf-8")
    done = chromium(
        "--window-size=1400,1000", "--virtual-time-budget=4000", "--dump-dom", outer.as_uri(), folder=folder
    )
    found = re.search(r"FOUND(.*)END", done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    return {each["name"]: each for each in json.loads(html.unescape(found[1]))}, done.stderr


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["some", "fifty", "search"])
def test_nothing_reaches_over_the_edge(shown: tuple[dict[str, Any], str], name: str, width: int) -> None:
    page = shown[0][f"{name}-{width}"]
    assert page["width"] == width
    assert page["scroll"] <= width
    assert page["over"] == []
    assert page["narrow"] == 0


def test_the_browser_complains_about_nothing(shown: tuple[dict[str, Any], str]) -> None:
    assert [line for line in shown[1].splitlines() if "CONSOLE" in line] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "some",
            ["15 runs of 5 artifacts", "5.05× faster", "Latency distributions", "Where the time goes", "throttled"],
        ),
        ("fifty", ["50 runs of 5 artifacts", "litert:xnnpack · 7 threads"]),
        ("search", ["digits.onnx", "3.57× speed", "slower than float"]),
    ],
)
def test_words_are_to_be_seen(shown: tuple[dict[str, Any], str], name: str, words: list[str], width: int) -> None:
    text = shown[0][f"{name}-{width}"]["text"].replace("\N{NO-BREAK SPACE}", " ")
    assert [each for each in words if each not in text] == []


def test_page_prints(pages: dict[str, str], tmp_path: Path) -> None:
    page, paper = tmp_path / "page.html", tmp_path / "page.pdf"
    page.write_text(pages["some"], encoding="utf-8")
    chromium(f"--print-to-pdf={paper}", page.as_uri(), folder=tmp_path)
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 8 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 24
