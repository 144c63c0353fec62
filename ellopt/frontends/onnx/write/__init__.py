"""From a Model to an ONNX file."""
