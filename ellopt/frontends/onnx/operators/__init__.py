"""What ONNX's operators mean as nodes of a Model: one function an operator, one module a family."""
