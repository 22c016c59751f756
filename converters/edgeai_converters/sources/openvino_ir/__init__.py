"""The reader of OpenVINO models: one family of operations per module, the walk in `graph`, the list in `op_table`."""
