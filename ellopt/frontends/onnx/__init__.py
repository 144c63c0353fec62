"""The ONNX format. Only imported when a ``.onnx`` file is read: the library takes its time to load."""
