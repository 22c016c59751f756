"""Programs that run where another tool lives, which may be an environment without any package of ours.

Each is one file with a function `convert(request)` that returns `{"written": path}`, or `{"refusal": words}` when the
tool refuses the model. `run.py` starts it. They import the standard library and their tool, nothing else.
"""
