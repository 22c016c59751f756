"""The cache folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_runtime.cache import cache_folder


def test_the_variable_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"


def test_a_relative_variable_is_taken_from_the_current_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEAI_CACHE", "here")
    assert cache_folder() == tmp_path / "here"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/var/xdg"}, "/var/xdg/edgeai"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/edgeai"),
        ("linux", {}, "/home/me/.cache/edgeai"),
        ("darwin", {}, "/home/me/Library/Caches/edgeai"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/edgeai/Cache"),
    ],
)
def test_each_platform_has_its_place(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("EDGEAI_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("edgeai_runtime.cache.sys.platform", platform)
    assert cache_folder() == Path(expected)
