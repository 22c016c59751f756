"""The hash of a sample's content: what decides its split, and how equal samples are found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DOMAIN = b"edgeai.sample/1"  # part of every division into splits: changing it moves every sample


def hash_samples(group: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return one sha256 per sample, in hex, over all its inputs in the order of their names.

    Equal values give equal hashes whether they are stored as 8- or 16-bit integers, float16 or float32; axes of
    length 1 play no part.

    Args:
        group: `{input: [m, …]}`.
    """
    digests = [hashlib.sha256(_DOMAIN) for _ in range(len(next(iter(group.values()))))]
    for name in sorted(group):
        array = group[name]
        if np.can_cast(array.dtype, np.float32, "safe"):  # up to 16-bit integers and float32: exact
            array = array.astype(np.float32) + np.float32(0)  # -0.0 becomes 0.0
        head = f"{name}:{array.dtype.str}{[size for size in array.shape[1:] if size != 1]}".encode()
        for digest, row in zip(digests, np.ascontiguousarray(array), strict=True):
            digest.update(head)
            digest.update(row.tobytes())
    return [digest.hexdigest() for digest in digests]
