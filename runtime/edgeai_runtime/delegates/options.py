"""The options of a delegate: checked against what the table says of it, so that a slip of the pen is an error."""

from __future__ import annotations

from collections.abc import Mapping

from edgeai_runtime.errors import UsageError


def check_options(delegate: str, options: Mapping[str, str]) -> dict[str, str]:
    """Return `options` as a dict of texts, after checking their names; an option `a.*` of the table stands for `a.b`.

    Raises:
        UsageError: the delegate has no such option, or a value is not a text; the hint offers the nearest names.
    """
    if not options:
        return {}
    from edgeai_runtime.delegates.table import find_delegate

    spec = find_delegate(delegate)
    known = spec.options if spec is not None else {}
    for name, value in options.items():
        if name not in known and not any(one.endswith("*") and name.startswith(one[:-1]) for one in known):
            import difflib

            near = difflib.get_close_matches(name, known, n=3) or [one for one in known if name.lower() in one.lower()]
            hint = f"did you mean {' or '.join(near)}?" if near else f"its options: {', '.join(known) or 'none'}"
            raise UsageError(f"{delegate} has no option {name!r}", hint=hint)
        if not isinstance(value, str):
            raise UsageError(f"the option {name} of {delegate} is a text. Received: {value!r}")
    return dict(options)
