"""The documentation names what exists: make targets, verbs, files, glossary words."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from edgeai_runtime.transforms.operation import REQUIRED
from edgeai_runtime.transforms.table import OPERATIONS

MAKE = re.compile(r"(?:^|`|\s)make ((?:[a-z]+)(?: [a-z]+)*)(?=`|$|\s{2,}|\s*#)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[\w-]*)?\)")


def _pages(root: Path) -> list[Path]:
    return [root / "README.md", root / "runtime" / "README.md", *sorted((root / "docs").rglob("*.md"))]


def _verbs() -> dict[str, set[str]]:
    """Return the verbs of the command line with their options."""
    from edgeai.cli.app import app

    command = typer.main.get_command(app)
    return {
        name: {option for parameter in verb.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for name, verb in command.commands.items()  # type: ignore[attr-defined]
    }


def _commands(text: str) -> list[list[str]]:
    """Return the words of every `edgeai …` line in the code blocks of a page that are for a shell or of no language."""
    lines: list[str] = []
    language: str | None = None
    for line in text.splitlines():
        if line.startswith("```"):
            language = None if language is not None else line[3:].strip()
        elif language in ("", "sh", "bash", "console", "shell"):
            lines.append(line)
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    found = [shlex.split(line.removeprefix("$ "), comments=True) for line in joined if re.match(r"(\$ )?edgeai ", line)]
    return [words for words in found if len(words) > 1]


def test_make_targets_in_the_documentation_exist(root: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        (page.name, word)
        for page in _pages(root)
        for words in MAKE.findall(page.read_text(encoding="utf-8"))
        for word in words.split()
    }
    assert {word for _, word in named} >= {"demo", "test"}, "the pattern of this test finds nothing any more"
    assert [(page, word) for page, word in sorted(named) if word not in targets] == []


def test_readme_has_the_two_commands(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert any(words[1] == "compress" for words in _commands(text))


@pytest.mark.parametrize("verb", sorted(_verbs()))
def test_every_verb_is_documented(root: Path, verb: str) -> None:
    assert f"edgeai {verb}" in (root / "docs" / "command-line.md").read_text(encoding="utf-8")


def test_commands_in_the_documentation_are_real(root: Path) -> None:
    verbs = _verbs()
    unknown = []
    for page in _pages(root):
        for words in _commands(page.read_text(encoding="utf-8")):
            if words[1].startswith("-"):
                continue
            options = {word.split("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
            if words[1] not in verbs or not options <= verbs[words[1]] | {"--help", "-h"}:
                unknown.append(f"{page.name}: {shlex.join(words)}")
    assert unknown == []


def test_links_between_pages_lead_somewhere(root: Path) -> None:
    dead = [
        f"{page.relative_to(root)} → {target}"
        for page in _pages(root)
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert dead == []


def test_every_page_is_reached_from_the_index(root: Path) -> None:
    index = (root / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in (root / "docs").glob("*.md")} - {"index.md"}
    assert sorted(name for name in pages if f"({name})" not in index) == []


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_step_is_documented(root: Path, operation: str) -> None:
    text = (root / "docs" / "transforms.md").read_text(encoding="utf-8")
    parameters = [
        one.name if one.default is REQUIRED else f"{one.name}={_plain(one.default)}"
        for one in OPERATIONS[operation].parameters
    ]
    assert f"`{operation}{{{', '.join(parameters)}}}`" in text


def _plain(default: object) -> str:
    return f"[{','.join(map(str, default))}]" if isinstance(default, tuple) else str(default)


def test_readme_types_in_no_figures(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    measured = re.findall(r"\b\d[\d.,]*\s?(?:×|x smaller|x faster|ms|µs|kB|MB|MiB|points)(?!\w)", text)
    assert measured == []
