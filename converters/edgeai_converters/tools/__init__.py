"""Other people's converters, one module each: the task of a child process that writes one file.

Each task takes a JSON-able request and writes `target`:

    source     path of the file (or SavedModel folder) that the tool reads
    target     path of the file to write
    precision  float32, float16 or dynamic_int8
    inputs     [{name, shape (null: free), dtype, layout}] as the artifact must have them, in order
    outputs    likewise

A tool whose pins quarrel with ours may live in a managed environment (`environments.py`); its part that runs there is
a file of `guests/`. Names at the boundary are the source's, whatever the tool calls them. Nothing is fetched.
"""
