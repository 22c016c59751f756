"""A few hundred cases of the fuzzer, other ones than by hand; and that it would find a fault."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("cryptography")

CASES = 300
SEED = 7


@pytest.fixture
def fuzzer() -> ModuleType:
    import fuzz_readers

    return fuzz_readers


def test_only_errors_of_ours_come_out_of_mutated_bundles(fuzzer: ModuleType, tmp_path: Path) -> None:
    outcome = fuzzer.run(CASES, SEED, tmp_path)
    assert outcome.failures == []
    assert sum(outcome.ended.values()) == CASES
    assert outcome.ended["opened"] < CASES / 5
    assert set(outcome.kinds) == set(fuzzer.MUTATIONS)


def test_the_bundles_it_starts_from_are_good(fuzzer: ModuleType, tmp_path: Path) -> None:
    from fuzzing.good_bundles import good_bundle, pack

    for pipeline in (False, True):
        (tmp_path / "good.edge").write_bytes(pack(good_bundle(pipeline=pipeline)))
        assert fuzzer.read(tmp_path / "good.edge", tmp_path / "cache", None) == "opened"


def test_another_exception_and_a_file_outside_the_cache_are_found(
    fuzzer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, cache: Path, trust: object) -> str:
        (path.parent / "escaped.txt").write_bytes(b"x")
        raise ValueError("not one of ours")

    monkeypatch.setattr(fuzzer, "read", broken)
    failures = fuzzer.run(2, SEED, tmp_path).failures
    assert [failure["kind"] for failure in failures][-1] == "outside the cache"
    assert [failure["number"] for failure in failures] == [0, 1, None]
