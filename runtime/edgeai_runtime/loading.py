"""Load a bundle or a bare artifact: choose a variant and a delegate, check it, and open it there.

Which delegates are tried, in which order, is `delegates/choose.py`; what a self-check is, `first_use.py`; measuring for
`placement="fastest"` and `threads="auto"`, `autotune.py`. The policy as a whole is told in `docs/placement.md`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeai_runtime.bench.memory import process_status
from edgeai_runtime.cache import compiled_folder, verdict_folder
from edgeai_runtime.delegates.attempt import PassedOver, use_first
from edgeai_runtime.engines.artifact_file import format_of
from edgeai_runtime.engines.table import DEFAULT_DELEGATES, get_engine, is_usual, recording_delegate
from edgeai_runtime.errors import PlacementError, UsageError
from edgeai_runtime.manifest import Format, Manifest, Variant
from edgeai_runtime.model import Model
from edgeai_runtime.placement import FASTEST, Attempt, Placement, Timing
from edgeai_runtime.record import dataclass, replace

if TYPE_CHECKING:
    from edgeai_runtime.bundle import Bundle
    from edgeai_runtime.encryption import Key
    from edgeai_runtime.engines.protocol import Session
    from edgeai_runtime.trust import Trust

SelfCheck = Literal["auto", "always", "never"]

#: More threads than this seldom help the small models of edge devices; `threads=` overrides it.
_MOST_THREADS = 4

#: Delegates that are used when they are named, and never because they happen to be here: slow, or choosers themselves.
_ONLY_BY_NAME = frozenset({"litert:reference", "litert:external", "openvino:auto", "openvino:hetero"})


def load(
    path: str | Path,
    *,
    placement: Placement | str | None = None,
    threads: int | Literal["auto"] | None = None,
    variant: str | None = None,
    isolate: bool | None = None,
    selfcheck: SelfCheck = "auto",
    trust: Trust | None = None,
    key: Key | None = None,
) -> Model:
    """Load a bundle (`.edge` file or folder) or a bare `.tflite`, `.onnx` or `.xml` file.

    Of a bundle, the variants are tried in the order of `placement.prefer`, then of the manifest; one whose engine is
    not installed, that does not load, or whose numbers are wrong here, is passed over, and `model.placement.attempts`
    says why.

    Args:
        path: the bundle or artifact.
        placement: what is asked of the hardware; by default the best device the bundle was made for. `"fastest"`, a
            device or a delegate stands for a `Placement` that prefers it.
        threads: at most this many; by default the (big) processors this process may use, 4 at most. `"auto"` measures
            once what is fastest here and remembers it.
        variant: the id of the only variant to try.
        isolate: open the file in a child process first. By default that is done for bare files, which may crash their
            engine, and not for bundles, whose digests are checked, unless `trust` has keys and none of them signed.
        selfcheck: `auto` runs the bundle's golden inputs in a child process before a delegate is used for the first
            time, except on the CPU delegate that they were recorded on; `always` does it there too; `never` trusts
            every delegate, even one that failed before.
        trust: whose signature, which name and version are demanded; by default `$EDGEAI_TRUSTED_KEYS` decides.
        key: decrypts variants that are encrypted: 32 bytes, 64 hexadecimal digits, a file with either, or a function
            that is given the key's id and returns one of these; by default that of `$EDGEAI_DECRYPTION_KEY`.

    Raises:
        UsageError: an argument makes no sense, or there is no such variant.
        SignatureError: the file is not what `trust` demands.
        BundleError: the bundle is incomplete or damaged.
        ModelError: the file is not a model, or crashes its engine.
        MissingEngineError: no installed engine can run it; the hint is the pip line that mends it.
        PlacementError: the hardware that is asked for cannot be used; lists why not, delegate by delegate.

    Example:
        >>> model = load("digits.edge")                     # doctest: +SKIP
        >>> probabilities = model(image)                    # doctest: +SKIP
    """
    path = Path(path)
    asked = Placement(prefer=(placement,)) if isinstance(placement, str) else placement or Placement()
    if asked != Placement():
        from edgeai_runtime.delegates.choose import check_placement

        check_placement(asked)
    if selfcheck not in ("auto", "always", "never"):
        raise UsageError(f"selfcheck is 'auto', 'always' or 'never'. Received: {selfcheck!r}")
    loader = Loader(path, asked, threads, isolate, selfcheck, variant, trust, key)
    if loader.bundle is not None and loader.bundle.manifest.pipeline is not None:
        from edgeai_runtime.pipeline import open_pipeline

        return open_pipeline(
            loader.bundle,
            placement=asked,
            threads=threads,
            variant=variant,
            isolate=loader.isolate,
            selfcheck=selfcheck,
            key=key,
        )
    candidates = loader.candidates()
    measured: tuple[Timing, ...] = ()
    if FASTEST in asked.prefer or threads == "auto":
        from edgeai_runtime.autotune import put_fastest_first

        candidates, measured = put_fastest_first(loader, candidates)
    model, attempts = use_first(candidates, asked, loader.open)
    model._chosen = {"attempts": attempts, "measured": measured}
    return model


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An artifact that may be loaded, the variant it belongs to, and with how many threads (`None`: as asked)."""

    path: Path
    variant: Variant | None = None
    threads: int | None = None

    def __str__(self) -> str:
        """Return the variant's id; empty for a bare artifact."""
        return self.variant.id if self.variant is not None else ""


class Loader:
    """One call of `load`: what was asked, and the bundle once it is open.

    Attributes:
        bundle: `None` for a bare artifact.
        most_threads: never more than this.
        isolate: whether a file is opened in a child process first.
    """

    def __init__(
        self,
        path: Path,
        asked: Placement,
        threads: int | Literal["auto"] | None,
        isolate: bool | None,
        selfcheck: SelfCheck,
        variant: str | None,
        trust: Trust | None = None,
        key: Key | None = None,
    ) -> None:
        if trust is None and os.environ.get("EDGEAI_TRUSTED_KEYS"):
            from edgeai_runtime.trust import trust_here

            trust = trust_here()
        self.path, self.asked, self.threads, self.selfcheck = path, asked, threads, selfcheck
        self.most_threads = _thread_count(threads)
        self.bundle: Bundle | None = None
        if _looks_like_bundle(path):
            from edgeai_runtime.bundle import open_bundle

            self.bundle = open_bundle(path, trust=trust)
            self.bundle = replace(self.bundle, key=key) if key is not None else self.bundle
        elif variant is not None:
            raise UsageError(f"{path} is a bare artifact, not a bundle: it has no variant {variant!r}")
        elif trust is not None:
            from edgeai_runtime.trust import refuse_bare

            refuse_bare(path, trust)
        unknown = self.bundle is None or bool(trust is not None and trust.keys and not self.bundle.signed_by)
        self.isolate = isolate if isolate is not None else unknown
        self._variant = variant

    def candidates(self) -> list[tuple[Choice, str]]:
        """Return every artifact with every delegate that may run it, best first.

        Those the bundle names come first, in its order; then, when the placement asks for anything special, the other
        delegates of the artifact's engine that are here.
        """
        if self.bundle is None:
            format = format_of(self.path)
            choices = [(Choice(path=self.path), format, _delegates(None, format))]
        else:
            variants = [one for one in self.bundle.manifest.variants if self._variant in (None, one.id)]
            if not variants:
                known = ", ".join(one.id for one in self.bundle.manifest.variants)
                raise UsageError(f"{self.path} has no variant {self._variant!r}", hint=f"its variants: {known}")
            choices = [
                (Choice(path=self.bundle.file(one.files[0]), variant=one), one.format, _delegates(one, one.format))
                for one in variants
            ]
        named = [(choice, name) for choice, _, names in choices for name in names]
        asked = self.asked
        if asked.require is None and asked.allow is None and asked.prefer == Placement().prefer:
            return named
        from edgeai_runtime.delegates.table import DELEGATES

        words = {asked.require, *asked.prefer, *(asked.allow or ())}
        others = [
            (choice, name)
            for choice, format, names in choices
            for name, spec in DELEGATES.items()
            if name not in names
            and any(one.partition(":")[0] == spec.engine for one in names)
            and format in (spec.formats or (format,))
            and (name in words or _is_here(name, spec.device, asked))
        ]
        return named + others

    def open(self, choice: Choice, delegate: str, attempts: list[Attempt]) -> tuple[Model, Attempt]:
        """Check one candidate and open it; see `delegates.attempt.use_first`."""
        engine = delegate.partition(":")[0]
        threads = choice.threads or self.most_threads
        options, used = self.check(choice, delegate, attempts)
        if self.isolate:
            from edgeai_runtime.isolation import check_in_child

            check_in_child(choice.path, engine=engine, delegate=delegate, threads=threads, options=options)
        before = process_status()
        session = self._open_session(engine, choice, delegate, threads, options)
        if self.asked.needs_report():
            from edgeai_runtime.delegates.choose import check_report

            report = session.placement()
            macs = choice.variant.macs if choice.variant is not None else {}
            try:
                check_report(replace(report, macs=macs), self.asked)
            except PlacementError:
                session.close()
                raise
        model = Model(session, variant=choice.variant, bundle=self.bundle, threads=threads)
        model._loaded = (choice.path, self.bundle.digest if self.bundle is not None else "", before, process_status())
        return model, used

    def _open_session(
        self, engine: str, choice: Choice, delegate: str, threads: int, options: Mapping[str, str]
    ) -> Session:
        variant, bundle = choice.variant, self.bundle
        if variant is None or bundle is None:
            return get_engine(engine).open(choice.path, delegate=delegate, threads=threads, options=options)
        path = bundle.artifact(variant)
        keeps = variant.encryption is None and compiled_folder(bundle.digest).is_dir()

        def open(more: Mapping[str, str]) -> Session:
            arguments: dict[str, Any] = {"delegate": delegate, "threads": threads, "options": {**options, **more}}
            if not keeps:
                return get_engine(engine).open(path, **arguments)
            from edgeai_runtime.compiled_cache import open_session

            return open_session(get_engine(engine), path, variant, bundle.digest, **arguments)

        return open_variant(open, bundle.manifest, variant, delegate)

    def check(self, choice: Choice, delegate: str, attempts: list[Attempt]) -> tuple[dict[str, str], Attempt]:
        """Return the engine options that give the right numbers, and the attempt to report when it loads.

        Trials that went wrong are appended to `attempts`.

        Raises:
            PassedOver: the variant needs what is not here, or the delegate is in quarantine.
            PlacementError: the self-check failed.
        """
        options: dict[str, str] = {}
        if self.asked.options or not is_usual(delegate):
            from edgeai_runtime.delegates.choose import engine_options

            options = engine_options(delegate, self.asked)
        variant, bundle = choice.variant, self.bundle
        if variant is None or bundle is None:
            return options, Attempt(delegate=delegate, outcome="used")
        if variant.encryption is not None:
            from edgeai_runtime.encryption import refuse_files

            refuse_files([*options, *["isolate"] * self.isolate])
        if variant.needs:
            from edgeai_runtime.installed import unmet_need

            unmet = unmet_need(variant.needs)
            if unmet:
                raise PassedOver(f"variant {variant.id} {unmet}")
        used = Attempt(delegate=delegate, outcome="used", variant=variant.id)
        if self.selfcheck == "never":
            return options, used
        must = self.selfcheck == "always" or bool(options) or not _is_recording_cpu(variant, delegate)
        if not must:
            if not verdict_folder(bundle.digest).is_dir():  # the usual case costs no more than this look
                return options, used
            from edgeai_runtime.verdicts import any_quarantined

            if not any_quarantined(bundle.digest):
                return options, used
        from edgeai_runtime.first_use import check_delegate, known_verdict

        verdict = known_verdict(bundle, variant, delegate, options=options)
        if verdict is not None and not verdict.ok:
            raise PassedOver(verdict.quarantine())
        if verdict is None:
            if not must:
                return options, used
            verdict = check_delegate(
                bundle, variant, delegate, path=self.path, options=options, threads=self.most_threads
            )
        for trial in verdict.trials:
            if not trial.ok:
                reason = f"self-check failed: {trial.detail}"
                attempts.append(
                    Attempt(delegate=delegate, outcome="failed", reason=reason, remedy=trial.remedy, variant=variant.id)
                )
        if not verdict.ok:
            raise PlacementError(f"{delegate} failed its self-check: {verdict.trials[-1].detail}")
        reason = f"self-check passed: {verdict.trials[-1].detail}"
        return dict(verdict.options), replace(used, remedy=verdict.remedy, reason=reason)


def open_variant(
    open: Callable[[Mapping[str, str]], Session], manifest: Manifest, variant: Variant, delegate: str
) -> Session:
    """Open a variant of a bundle with what its shapes need on a delegate; `open` takes options besides its own."""
    if "buckets" not in manifest.metadata or is_usual(delegate):
        return open({})
    from edgeai_runtime.buckets import open_for_buckets

    return open_for_buckets(open, manifest, variant, delegate)


def _delegates(variant: Variant | None, format: Format) -> tuple[str, ...]:
    """Return the delegates that are tried when nobody says more, best first."""
    return (variant is not None and variant.delegates) or (DEFAULT_DELEGATES[format],)


def _is_recording_cpu(variant: Variant, delegate: str) -> bool:
    """Say whether `delegate` is the CPU delegate of the golden outputs: same code, another processor."""
    if delegate != recording_delegate(variant) or is_usual(delegate):
        return delegate == recording_delegate(variant)
    from edgeai_runtime.delegates.table import find_delegate

    spec = find_delegate(delegate)
    return spec is not None and spec.device == "cpu"


def _is_here(name: str, device: str, asked: Placement) -> bool:
    """Say whether a delegate that nobody named is worth a try: the right device, and present."""
    if name in _ONLY_BY_NAME:
        return False
    if asked.require not in (None, device) or (asked.allow is not None and device not in asked.allow):
        return False
    if FASTEST not in asked.prefer and asked.require is None and asked.allow is None and device not in asked.prefer:
        return False
    from edgeai_runtime.delegates.probe import probe

    found = probe(name)
    return found.present and (not found.emulated or asked.require == device or asked.allow == (device,))


def _thread_count(threads: Any) -> int:
    if threads is None or threads == "auto":
        from edgeai_runtime.cores import usable_big_cores, usable_cores

        return usable_cores() if threads == "auto" else min(usable_big_cores(), _MOST_THREADS)
    if not isinstance(threads, int) or threads < 1:
        raise UsageError(f"threads is at least 1, or 'auto'. Received: {threads!r}")
    return threads


def _looks_like_bundle(path: Path) -> bool:
    if path.suffix in (".tflite", ".onnx", ".xml"):
        return False
    if path.suffix == ".edge" and path.exists():
        return True  # if it is damaged, opening it says how
    from edgeai_runtime.bundle import is_bundle

    return is_bundle(path)
