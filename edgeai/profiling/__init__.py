"""Time per operation: each engine's own profiler, in one common form, and a trace of it that Perfetto opens.

`profile.py` asks a child process (`profile_child.py`), which opens the artifact twice: as the runtime does, and by the
engine's recorder (`onnxruntime_recorder.py`, `openvino_recorder.py`, `litert_recorder.py`; without LiteRT's profiler
`litert_alone.py`). Nothing of it touches a session that something else is measured on.
"""

from edgeai.profiling.chrome_trace import chrome_trace
from edgeai.profiling.profile import profile_artifact

__all__ = ["profile_artifact", "chrome_trace"]
