"""Paths of members."""

from __future__ import annotations

import pytest

from edgeai_runtime.bundle_paths import check_member_path, check_paths_together
from edgeai_runtime.errors import IntegrityError


@pytest.mark.parametrize("path", ["labels.txt", "variants/int8-a/model.tflite", "a b/c.d.e", "größe/x", "a..b"])
def test_a_relative_path_is_accepted(path: str) -> None:
    check_member_path(path, where="m")


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/"),
        *("a\\b", "..\\x", "C:/x", "C:x", "a:stream", "a\0b", "a\nb", "a\u202eb", "\ud800", "a?", "a*"),
        *("a.", "a /b", "con", "variants/NUL.txt", "Com1", "x" * 241),
    ],
)
def test_a_path_that_escapes_or_means_something_else_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(IntegrityError, match="the path"):
        check_member_path(path, where="m")


@pytest.mark.parametrize(
    "paths", [["a/x", "A/x"], ["stra\u00dfe", "STRASSE"], ["\u00e9", "e\u0301"], ["a", "a/b"], ["A/B", "a/b/c/d"]]
)
def test_two_paths_that_can_not_lie_side_by_side_are_refused(paths: list[str]) -> None:
    with pytest.raises(IntegrityError):
        check_paths_together(paths, where="m")


def test_different_paths_may_share_folders() -> None:
    check_paths_together(["a/b", "a/c", "ab", "a/b2"], where="m")
