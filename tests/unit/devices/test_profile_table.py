"""The table of profiles in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_devices.catalog import read_all_rules, read_profiles
from edgeai_devices.profile_table import BEGIN, END, profile_tables, replace_tables
from edgeai_runtime.errors import UsageError

PAGE = Path(__file__).parents[3] / "docs" / "devices.md"


def test_the_table_in_the_documentation_is_that_of_the_profiles(tmp_path: Path) -> None:
    """Mended by: python benchmarks/device_table.py --write docs/devices.md"""
    page = PAGE.read_text(encoding="utf-8")
    assert replace_tables(page, profile_tables(read_profiles(tmp_path), read_all_rules(tmp_path))) == page


def test_every_profile_and_all_rules_are_in_the_table(tmp_path: Path) -> None:
    profiles, rules = read_profiles(tmp_path), read_all_rules(tmp_path)
    table = profile_tables(profiles, rules)
    assert [each.id for each in (*profiles, *rules) if f"| `{each.id}` |" not in table] == []


def test_a_table_replaces_what_was_between_the_marks() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replace_tables(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_its_marks_is_an_error(page: str) -> None:
    with pytest.raises(UsageError, match="must hold"):
        replace_tables(page, "new")
