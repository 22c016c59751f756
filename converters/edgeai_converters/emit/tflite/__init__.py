"""TFLite without TensorFlow: a writer and a reader of `.tflite` files over one op table.

writer.py        emit_tflite: graph → file           reader.py        read_graph: file → float ONNX
write_context.py values in the layout asked for      read_context.py  operators of a file, ONNX nodes
folding.py       Q/DQ, fused activations, constants  op_table.py      operator → function, both directions
file_builder.py  tensors, constants, operators       flatbuffer.py    bytes ↔ object tree
layout.py padding.py quantization.py op_versions.py schema.py         facts and arithmetic
conv.py transpose_conv.py dense.py pool.py elementwise.py activation.py reduce.py shape.py slicing.py joining.py
resize.py storage.py recurrent.py                    one family of operators each, both directions
lowering.py      what is said in other operators before: recurrent layers, step by step
"""
