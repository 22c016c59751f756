"""The way into a guest: `python -I run.py GUEST FOLDER` reads `request.json` there and writes `answer.json`.

The interpreter may be that of a managed environment: nothing of ours is there, so this needs the standard library only.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any


def main(guest: Path, folder: Path) -> None:
    """Run the guest's `convert`; whatever it raises becomes the answer."""
    answer: dict[str, Any]
    try:
        found = importlib.util.spec_from_file_location("guest", guest)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        answer = module.convert(json.loads((folder / "request.json").read_text(encoding="utf-8")))
    except BaseException as error:  # tools end the process too
        traceback.print_exc()
        message = (str(error).strip() or repr(error))[:2000]
        answer = {"error": {"type": type(error).__name__, "message": message, "hint": f"Log: {folder}"}}
    beside = folder / "answer.json.part"
    beside.write_text(json.dumps(answer), encoding="utf-8")
    beside.replace(folder / "answer.json")
    sys.stdout.flush()
    os._exit(0)  # some guests crash while the interpreter is torn down


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
