"""Mutate bundles and manifests by the thousand and read them: only edgeai's own errors may come out.

    python benchmarks/fuzz_readers.py [--count 10000] [--seed 0] [--first 0] [--only KIND] [--json FILE]

Every case starts from a good bundle (a model, or a pipeline of two), damages it in one of the ways of
`fuzzing/mutations.py`, and reads it as an app would: list, signature, manifest, digests, unpacking, recorded samples,
labels, steps. A case fails when it raises anything but an `EdgeAIError`, takes longer than `LONGEST_S`, leaves a file
outside the cache, or is opened with a content that its manifest does not name. The program ends with 1 when one failed;
`--seed` and `--first` with the number of a case make it again.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzzing.good_bundles import good_bundle
from fuzzing.mutations import MUTATIONS, Folder, trusted_key

from edgeai_runtime.bundle import is_bundle, open_bundle, verify_bundle
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.manifest_json import dump_manifest, parse_manifest
from edgeai_runtime.transforms.pipeline import check_steps
from edgeai_runtime.trust import Trust

LONGEST_S = 10.0
MEMORY_BYTES = 6 * 2**30  # more than any case needs; an allocation of what a header claims fails


@dataclass
class Outcome:
    """What came of the cases: how many of each kind ended how, and those that failed."""

    ended: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    longest_s: float = 0.0


def read(path: Path, cache: Path, trust: Trust | None) -> str:
    """Read a bundle in every way that needs no engine; return how far that went."""
    is_bundle(path)
    checks = verify_bundle(path, trust=trust)
    assert checks, "a report is never empty"
    bundle = open_bundle(path, cache=cache, trust=trust)
    for variant in bundle.manifest.variants:
        for entry in variant.files:
            content = bundle.file(entry).read_bytes()
            assert hashlib.sha256(content).hexdigest() == entry.sha256, "another content than the manifest's"
    parse_manifest(dump_manifest(bundle.manifest), where="again")
    for steps in (*bundle.manifest.preprocessing.values(), *bundle.manifest.postprocessing.values()):
        check_steps(steps)
    bundle.labels()
    bundle.assets()
    if bundle.manifest.golden:
        bundle.golden_inputs()
        bundle.golden_outputs("source")
    return "opened" if all(check.ok for check in checks) else "opened, not good"


def put(bad: bytes | Folder, place: Path) -> None:
    """Put a mutated bundle, a file or a folder, in the place of the one before."""
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    if isinstance(bad, bytes):
        place.write_bytes(bad)
        return
    place.mkdir()
    for name, content in bad.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is None:
            os.mkfifo(path)
        else:
            path.symlink_to(content)


def run(count: int, seed: int, folder: Path, *, only: str | None = None, first: int = 0) -> Outcome:
    """Read `count` mutated bundles below `folder`, which is empty before and does not change but for its `cache`."""
    outcome, started = Outcome(), time.time()
    cache, place = folder / "cache", folder / "in" / "case.edge"
    place.parent.mkdir()
    seeds = [good_bundle(), good_bundle(pipeline=True)]
    key = trusted_key()
    signed = [Trust(keys=key), Trust(keys=key, require_signature=False, minimum_version="1")]
    for number in range(first, first + count):
        chance = random.Random(f"{seed}/{number}")
        kind = only or chance.choice(list(MUTATIONS))
        trust = chance.choice(signed if kind == "signature" else [None, None, Trust(minimum_version="1"), *signed])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile's own, about doubled names
            put(MUTATIONS[kind](chance.choice([*seeds[:1] * 3, *seeds[1:]]), chance), place)
        before = time.perf_counter()
        try:
            with _every_warning_is_an_error():
                ended = read(place, cache, trust)
        except EdgeAIError as error:
            ended = type(error).__name__
            if not error.message:
                outcome.failures.append({"number": number, "kind": kind, "error": "an error without words"})
        except Exception as error:
            ended = "FAILED"
            trace = traceback.format_exc().splitlines()[-7:]
            outcome.failures.append({"number": number, "kind": kind, "error": repr(error)[:300], "trace": trace})
        took = time.perf_counter() - before
        if took > LONGEST_S:
            outcome.failures.append({"number": number, "kind": kind, "error": f"took {took:.1f} s"})
        outcome.longest_s = max(outcome.longest_s, took)
        outcome.ended[ended] += 1
        outcome.kinds[kind] += 1
    put(b"", place)
    strays = [path for path in folder.rglob("*") if cache not in (path, *path.parents) and path.is_file()]
    strays += [Path("/tmp/edgeai-fuzz-out.txt"), Path("out.txt"), folder.parent / "out.txt"]
    links = [path for path in cache.rglob("*") if path.is_symlink()]
    for path in (*strays, *links):
        if path != place and os.path.lexists(path) and path.lstat().st_mtime >= started - 1:
            outcome.failures.append({"number": None, "kind": "outside the cache", "error": str(path)})
    return outcome


@contextlib.contextmanager
def _every_warning_is_an_error() -> Iterator[None]:
    """Also end the program, with a trace, where a case hangs for much longer than it may."""
    faulthandler.dump_traceback_later(6 * LONGEST_S, exit=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def main() -> int:
    """Run the cases and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", choices=sorted(MUTATIONS), help="one kind of damage")
    parser.add_argument("--json", type=Path, help="also write the result there")
    options = parser.parse_args()
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="edgeai-fuzz-") as folder:
        os.environ["EDGEAI_CACHE"] = str(Path(folder, "cache"))
        outcome = run(options.count, options.seed, Path(folder), only=options.only, first=options.first)
    document = {
        "count": sum(outcome.ended.values()),
        "seed": options.seed,
        "ended": dict(outcome.ended.most_common()),
        "kinds": dict(outcome.kinds.most_common()),
        "longest_s": round(outcome.longest_s, 3),
        "took_s": round(time.perf_counter() - start, 1),
        "failures": outcome.failures,
    }
    text = json.dumps(document, indent=1)
    print(text if len(outcome.failures) < 20 else text[:8000])
    if options.json is not None:
        options.json.write_text(text + "\n")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
