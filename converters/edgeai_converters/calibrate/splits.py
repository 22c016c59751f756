"""The three disjoint splits: calibration, search, certification.

    calibration     ranges of activations are computed on it, nothing else
    search          candidates are screened and compared on it
    certification   used once per variant, for the certificate

One data set is divided by the rank of each sample's hash: 20 % calibration (at most 256), 30 % search (at most 1000),
all the rest certification. Why these: ranges settle after a few hundred samples; screening only sorts out what is
clearly bad; and the width of the certificate's interval falls only with the size of the certification split, so
whatever the other two do not need goes there. A hash depends on the content alone, so the order of the samples plays
no part, and equal samples fall on one side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.calibrate.dataset import Dataset
from edgeai_runtime.errors import DataError, UsageError

CALIBRATION_SHARE = 0.2
SEARCH_SHARE = 0.3
MAX_CALIBRATION = 256
MAX_SEARCH = 1000
MIN_CALIBRATION = 8
MIN_SEARCH = 8
MIN_CERTIFICATION = 16
_MINIMUM = {"calibration": MIN_CALIBRATION, "search": MIN_SEARCH, "certification": MIN_CERTIFICATION}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Some samples of a data set, by their indices (ascending)."""

    dataset: Dataset
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> NDArray[Any] | None:
        """The labels of these samples, as the data give them; `None` without labels."""
        return None if self.dataset.labels is None else self.dataset.labels[self.indices]

    def batches(self, size: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield prepared and checked batches, as `Dataset.batches` does."""
        return self.dataset.batches(self.indices, size)

    def raw_batches(self, size: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield batches before preprocessing, as `Dataset.raw_batches` does."""
        return self.dataset.raw_batches(self.indices, size)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The three splits; no sample's content is in two of them.

    Attributes:
        notes: what a user should know: sizes, repeated samples, samples that were left out.
    """

    calibration: Split
    search: Split
    certification: Split
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 over the data and their division, in hex."""
        digest = hashlib.sha256()
        for split in (self.calibration, self.search, self.certification):
            digest.update(split.dataset.digest.encode())
            digest.update(split.indices.astype("<i8").tobytes())
        return digest.hexdigest()


def make_splits(
    data: Dataset | None,
    calibration: Dataset | None = None,
    certification: Dataset | None = None,
    *,
    max_calibration: int = MAX_CALIBRATION,
    max_search: int = MAX_SEARCH,
) -> Splits:
    """Divide data into calibration, search and certification.

    `data` serves the splits that have no data of their own, in the proportions of the module's docstring. Without
    `data`, calibration data are divided between calibration and search. Certification data of their own are used
    whole. A sample that is also in the certification split is dropped from the others, with a note.

    Raises:
        UsageError: too little was given to fill three splits.
        DataError: a split has too few samples, or shares all of them with the certification split.
    """
    pool = data if data is not None else calibration
    if pool is None or (data is None and certification is None):
        own = {"calibration": calibration, "certification": certification}
        received = ", ".join(f"{name} data" for name, one in own.items() if one is not None) or "no data"
        raise UsageError(
            f"Three splits are needed: calibration, search and certification. Received: {received}",
            hint="Give --data, which is divided in three; or --calibration-data together with --certification-data.",
        )
    shares: dict[str, tuple[float, int | None]] = {}
    if calibration is None or data is None:
        shares["calibration"] = (CALIBRATION_SHARE, max_calibration)
    shares["search"] = (SEARCH_SHARE, max_search)
    if certification is None:
        shares["certification"] = (1 - CALIBRATION_SHARE - SEARCH_SHARE, None)
    parts = {name: Split(dataset=pool, indices=part) for name, part in _divide(pool.hashes, shares).items()}
    if certification is not None:
        parts["certification"] = _whole(certification)
    if "calibration" not in parts:
        assert calibration is not None
        parts["calibration"] = _first(_whole(calibration), max_calibration)
    notes = [*_drop_overlap(parts), *_note_repeats(parts["certification"])]
    for name, split in parts.items():
        _check_size(name, split, divided=split.dataset is pool, parts=len(shares))
    notes.append(", ".join(f"{len(parts[name])} samples for {name}" for name in _MINIMUM) + ".")
    return Splits(
        calibration=parts["calibration"],
        search=parts["search"],
        certification=parts["certification"],
        notes=tuple(notes),
    )


def _divide(hashes: Sequence[str], shares: dict[str, tuple[float, int | None]]) -> dict[str, NDArray[np.int64]]:
    """Cut the samples, ranked by their hash, into parts by share; equal samples are never cut apart.

    A part that reaches its cap leaves the rest to the last part (if that has no cap), else unused.
    """
    ranks = np.array(hashes)
    order = np.argsort(ranks, kind="stable")
    ranked = ranks[order]
    total = sum(share for share, _ in shares.values())
    parts: dict[str, NDArray[np.int64]] = {}
    start = 0
    for position, (name, (share, cap)) in enumerate(shares.items()):
        size = round(len(order) * share / total) if position < len(shares) - 1 else len(order) - start
        end = start + (size if cap is None else min(size, cap))
        if start < end < len(order) and ranked[end] == ranked[end - 1]:
            end = int(np.searchsorted(ranked, ranked[end - 1], side="right"))
        parts[name] = np.sort(order[start:end])
        start = min(end, len(order))
    return parts


def _whole(dataset: Dataset) -> Split:
    return Split(dataset=dataset, indices=np.arange(len(dataset)))


def _first(split: Split, most: int) -> Split:
    """Return the `most` samples of lowest hash, a draw that does not depend on the order of the samples."""
    order = np.argsort(np.array(split.dataset.hashes), kind="stable")
    return Split(dataset=split.dataset, indices=np.sort(order[:most]))


def _drop_overlap(parts: dict[str, Split]) -> list[str]:
    """Leave out of each split what a split of higher rank (certification, search, calibration) has; say so."""
    notes: list[str] = []
    taken: set[str] = set()
    owners: list[str] = []
    for name in ("certification", "search", "calibration"):
        split = parts[name]
        hashes = [split.dataset.hashes[index] for index in split.indices]
        shared = np.array([value in taken for value in hashes], dtype=bool)
        if shared.any():
            kept = split.indices[~shared]
            if len(kept) < _MINIMUM[name]:
                raise DataError(
                    f"{split.dataset.where}: {int(shared.sum())} of {len(split)} samples for {name} are also in "
                    f"the {' or '.join(owners)} data; {len(kept)} are left, at least {_MINIMUM[name]} are needed.",
                    hint="The splits must not share samples: give different data, or --data alone, which is divided.",
                )
            notes.append(
                f"{split.dataset.where}: {int(shared.sum())} of {len(split)} samples for {name} are left out, "
                f"because they are also in the {' or '.join(owners)} data."
            )
            parts[name] = Split(dataset=split.dataset, indices=kept)
        taken.update(hashes)
        owners.append(name)
    return notes


def _note_repeats(split: Split) -> list[str]:
    different = len({split.dataset.hashes[index] for index in split.indices})
    if different == len(split):
        return []
    return [
        f"{split.dataset.where}: {len(split) - different} of {len(split)} certification samples repeat others; the "
        "interval counts each of them, so it is narrower than the data deserve."
    ]


def _check_size(name: str, split: Split, *, divided: bool, parts: int) -> None:
    if len(split) >= _MINIMUM[name]:
        return
    how = (
        f"{len(split.dataset)} samples divided in {parts}" if divided and parts > 1 else f"{len(split.dataset)} samples"
    )
    raise DataError(
        f"{split.dataset.where}: too few samples: {len(split)} for {name} (from {how}), "
        f"at least {_MINIMUM[name]} are needed.",
        hint="Give more samples. --data alone needs about 40; a certificate for one point of drop needs at least 381.",
    )
