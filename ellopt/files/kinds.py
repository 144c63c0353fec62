"""What a file is that was given for another one: by what it begins with, else by its name."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

_EXPORT = "export it to ONNX"
_TORCH = f"{_EXPORT} with torch.onnx.export"
_TENSORFLOW = f"{_EXPORT} with tf2onnx"


@dataclass(frozen=True)
class FileKind:
    """``name`` as a sentence has it (``a PNG picture``). ``of``: model, picture, array or other. ``advice``: what to do
    with one that should have been a model, empty if there is nothing to say."""

    name: str
    of: str
    advice: str = ""


_PNG = FileKind("a PNG picture", "picture")
_JPEG = FileKind("a JPEG picture", "picture")
_GIF = FileKind("a GIF picture", "picture")
_BMP = FileKind("a BMP picture", "picture")
_WEBP = FileKind("a WebP picture", "picture")
_NPY = FileKind("a NumPy array", "array")
_NPZ = FileKind("an archive of NumPy arrays", "array")
_PYTORCH = FileKind("a PyTorch file", "model", _TORCH)
_TFLITE = FileKind("a TensorFlow Lite model", "model", f"{_EXPORT} with tf2onnx --tflite")
_HDF5 = FileKind("an HDF5 file, as Keras writes models", "model", _TENSORFLOW)
_KERAS = FileKind("a Keras model", "model", _TENSORFLOW)
_TF = FileKind("a TensorFlow graph", "model", _TENSORFLOW)
_SAFETENSORS = FileKind(
    "a file of weights alone (safetensors)", "model", f"{_EXPORT} from the program that has its layers"
)
_GGUF = FileKind("a GGUF file of a language model", "model")
_CAFFE = FileKind("a Caffe model", "model", _EXPORT)
_NCNN = FileKind("an ncnn model", "model", "take the file that it was made from")
_PICKLE = FileKind("a pickle of Python objects", "other")
_PDF = FileKind("a PDF document", "other")
_GZIP = FileKind("a file compressed by gzip", "other", "unpack it first")
_ELF = FileKind("a program or library", "other")

#: (where, bytes there, what it is)
_CONTENT = (
    (0, b"\x89PNG\r\n\x1a\n", _PNG),
    (0, b"\xff\xd8\xff", _JPEG),
    (0, b"GIF8", _GIF),
    (8, b"WEBP", _WEBP),
    (0, b"\x93NUMPY", _NPY),
    (4, b"TFL3", _TFLITE),
    (0, b"\x89HDF\r\n\x1a\n", _HDF5),
    (0, b"GGUF", _GGUF),
    (0, b"%PDF", _PDF),
    (0, b"\x1f\x8b", _GZIP),
    (0, b"\x7fELF", _ELF),
    # torch.save of before 1.6: a pickle that begins with a magic number
    (0, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", _PYTORCH),
    *((0, bytes((0x80, protocol)), _PICKLE) for protocol in range(2, 6)),
)
_NAMES = {
    **dict.fromkeys((".pt", ".pth", ".ckpt"), _PYTORCH),
    **dict.fromkeys((".h5", ".hdf5"), _HDF5),
    ".keras": _KERAS,
    ".tflite": _TFLITE,
    ".pb": _TF,
    ".safetensors": _SAFETENSORS,
    ".gguf": _GGUF,
    **dict.fromkeys((".caffemodel", ".prototxt"), _CAFFE),
    ".param": _NCNN,
    ".png": _PNG,
    **dict.fromkeys((".jpg", ".jpeg"), _JPEG),
    ".gif": _GIF,
    ".bmp": _BMP,
    ".webp": _WEBP,
    ".npy": _NPY,
    ".npz": _NPZ,
    **dict.fromkeys((".pkl", ".pickle"), _PICKLE),
}


def kind_by_content(path: Path) -> FileKind | None:
    """What the file begins with, or holds as an archive; None if that says nothing, or it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(32)
        if head.startswith(b"PK\x03\x04"):
            return _in_archive(path)
    except (OSError, zipfile.BadZipFile):
        return None
    return next((kind for at, mark, kind in _CONTENT if head[at : at + len(mark)] == mark), None)


def kind_of_file(path: Path) -> FileKind | None:
    """What the file is, by its content, else by its name; None if nobody knows."""
    return kind_by_content(path) or _NAMES.get(path.suffix.lower())


def _in_archive(path: Path) -> FileKind | None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return _PYTORCH
    if "model.weights.h5" in names:
        return _KERAS
    return _NPZ if names and all(name.endswith(".npy") for name in names) else None
