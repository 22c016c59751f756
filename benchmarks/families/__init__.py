"""Small networks with fixed seeds, one per family of architectures, and the files each framework saves them in.

`table.py` lists the families; the `torch_*` and `keras_*` modules build them; `save_torch.py` and `save_keras.py` write
every file a user might bring. The programs in `benchmarks/` and the end-to-end tests use them.
"""
