"""The best, the front, the nearest and what binds are chosen from data alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.recipe import Recipe
from edgeai_converters.search.candidate import Candidate, Limit
from edgeai_converters.search.choose import (
    best_candidate,
    best_per_format,
    binding_limit,
    nearest_candidate,
    pareto_front,
)
from edgeai_runtime.manifest import Certificate, Format, Measurement, Precision, Step


@pytest.fixture
def make(tmp_path: Path):  # type: ignore[no-untyped-def]
    def _make(
        name: str,
        *,
        format: Format = "tflite",
        precision: Precision = "int8",
        latency: float = 1.0,
        size: int = 100,
        drop: float = 0.0,
        limit: Limit | None = None,
    ) -> Candidate:
        file = tmp_path / f"{name}.bin"
        file.write_bytes(b"\0" * size)
        return Candidate(
            recipe=Recipe(format=format, precision=precision, steps=(Step(op="quantize", params={"method": name}),)),
            status="rejected" if limit else "accepted",
            reason="",
            limit=limit,
            artifact=Artifact(format=format, files=(file,), inputs=(), outputs=()),
            measurement=Measurement(
                engine="e",
                engine_version="1",
                delegate="d",
                threads=1,
                latency_median_ms=latency,
                latency_p90_ms=latency,
                latency_median_ci95_ms=(latency, latency),
                speedup_vs_float=1.0,
                speedup_ci95=(1.0, 1.0),
                peak_memory_mib=None,
                machine={},
            ),
            relative_latency=latency,
            certificate=Certificate(
                metric="top1",
                source_score=1.0,
                score=1.0 - drop,
                drop=drop,
                drop_ci95=(drop, drop),
                flip_rate=0.0,
                n=100,
                max_drop=0.01,
                verdict="certified",
                samples_needed=None,
                method="",
                split="certification",
            ),
        )

    return _make


def test_the_fastest_accepted_candidate_is_the_best(make) -> None:  # type: ignore[no-untyped-def]
    fast, slow, faster_but_rejected = make("a", latency=1), make("b", latency=2), make("c", latency=0.1, limit="strict")
    assert best_candidate([slow, fast, faster_but_rejected]) is fast


def test_a_smaller_candidate_wins_when_it_is_as_fast(make) -> None:  # type: ignore[no-untyped-def]
    fastest, smaller = make("a", latency=1.0, size=400), make("b", latency=1.04, size=100)
    assert best_candidate([fastest, smaller]) is smaller


def test_a_smaller_candidate_does_not_win_when_it_is_slower(make) -> None:  # type: ignore[no-untyped-def]
    fastest, smaller = make("a", latency=1.0, size=400), make("b", latency=1.2, size=100)
    assert best_candidate([fastest, smaller]) is fastest


def test_among_equals_the_search_split_decides_and_not_the_certificate(make) -> None:  # type: ignore[no-untyped-def]
    worse = replace(make("a", latency=1.0, size=100, drop=0.0), search_drop=0.02)
    better = replace(make("b", latency=1.01, size=102, drop=0.005), search_drop=0.001)
    assert best_candidate([worse, better]) is better


def test_a_bundle_gets_the_best_of_each_format_best_of_all_first(make) -> None:  # type: ignore[no-untyped-def]
    onnx, tflite = make("a", format="onnx", latency=1), make("b", latency=3)
    worse = make("c", latency=5)
    assert best_per_format([tflite, worse, onnx]) == [onnx, tflite]


def test_the_front_leaves_out_what_is_beaten_in_everything(make) -> None:  # type: ignore[no-untyped-def]
    fast, small = make("a", latency=1, size=400), make("b", latency=2, size=100)
    beaten = make("c", latency=3, size=500, drop=0.01)
    assert pareto_front([beaten, small, fast]) == [fast, small]


def test_the_front_keeps_both_of_two_equal_candidates(make) -> None:  # type: ignore[no-untyped-def]
    one, other = make("a"), make("b")
    assert pareto_front([one, other]) == [one, other]


def test_the_nearest_candidate_is_the_one_that_misses_its_limit_by_least(make) -> None:  # type: ignore[no-untyped-def]
    near, far = make("a", limit="max_drop"), make("b", limit="max_drop")
    assert nearest_candidate([far, near], {near.id: 0.1, far.id: 3.0}) is near


def test_nothing_made_means_nothing_nearest(make) -> None:  # type: ignore[no-untyped-def]
    assert nearest_candidate([replace(make("a", limit="failed"), artifact=None)], {}) is None


def test_the_binding_limit_is_the_one_that_rejected_most_compressed_candidates(make) -> None:  # type: ignore[no-untyped-def]
    candidates = [
        make("f", precision="float32"),
        make("a", limit="max_drop"),
        make("b", limit="slower_than_float"),
        make("c", limit="max_drop"),
    ]
    assert binding_limit(candidates) == "max_drop"


def test_no_limit_binds_when_a_compressed_candidate_was_accepted(make) -> None:  # type: ignore[no-untyped-def]
    assert binding_limit([make("a"), make("b", limit="max_drop")]) is None


def test_less_flash_on_the_device_counts_for_more_than_the_size_of_the_file(make) -> None:  # type: ignore[no-untyped-def]
    plain = replace(make("plain", size=100), flash_bytes=90)
    packed = replace(make("packed", size=100, drop=0.005), flash_bytes=50)
    assert best_candidate([plain, packed]) is packed
    assert best_candidate([make("plain", size=100), make("packed", size=100, drop=0.005)]).id == plain.id
