"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests away from the user's cache: nothing of an earlier run is found there, nothing is left there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEAI_CACHE", str(tmp_path_factory.mktemp("edgeai-cache")))
        yield


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real models and evaluation data: `$EDGEAI_ASSETS`, else `../shared/assets` beside the checkout."""
    folder = Path(os.environ.get("EDGEAI_ASSETS", _ROOT.parent / "shared" / "assets"))
    if not (folder / "index.json").is_file():
        pytest.skip(f"no real models: {folder} has no index.json; set EDGEAI_ASSETS to a folder that has them")
    return folder
