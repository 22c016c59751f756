"""The table of ways to make a network smaller: method → the function that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgeai_converters.prune.pruning_spec import MethodName
from edgeai_converters.prune.way import PruneJob, Smaller
from edgeai_converters.prune.way_channels import prune_channels
from edgeai_converters.prune.way_depth import prune_depth
from edgeai_converters.prune.way_low_rank import prune_low_rank
from edgeai_converters.prune.way_values import prune_clusters, prune_sparse

WAYS: Mapping[MethodName, Callable[[PruneJob], Smaller]] = {
    "channels": prune_channels,
    "depth": prune_depth,
    "low-rank": prune_low_rank,
    "sparse": prune_sparse,
    "clusters": prune_clusters,
}

PACKED: frozenset[MethodName] = frozenset({"sparse", "clusters"})
"""Methods whose gain is in packed files only: no engine of this project gets faster by them."""
