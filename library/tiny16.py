"""tiny16: a neural network compiled by ellopt 0.1.0 for pi3. Needs NumPy and the library beside this file.

>>> from tiny16 import Model
>>> Model().predict(image)  # 16 x 16 x 3 floats
"""

import ctypes
import math
from pathlib import Path

import numpy as np

#: Each input and each output: its name, its shape, and where it begins in the array of all.
INPUTS = (('input', (16, 16, 3), 0),)
OUTPUTS = (('softmax_6', (1, 1, 5), 0),)
INPUT_SHAPE = INPUTS[0][1]
OUTPUT_SHAPE = OUTPUTS[0][1]
#: How pictures are prepared: the shorter side is scaled to "size" pixels (None: so that the input is covered), the middle
#: is cut out, channels are put in order, and each value of 0 to 255 becomes (value - mean) * scale.
PREPROCESS = {'size': None, 'channel_order': 'rgb', 'mean': (0.0,), 'scale': (1.0,)}


def image_input(picture, **preprocess):
    """A picture (a path, a file, or an image of Pillow) as the input of the model. Needs Pillow.

    What PREPROCESS has may be given otherwise: image_input(path, scale=1 / 255). Raises ValueError if the model takes no
    picture.
    """
    from PIL import Image, ImageOps

    how = {**PREPROCESS, **preprocess}
    sizes = INPUT_SHAPE[1:] if len(INPUT_SHAPE) == 4 and INPUT_SHAPE[0] == 1 else INPUT_SHAPE
    if len(INPUTS) != 1 or len(sizes) != 3 or not {1, 3} & {sizes[0], sizes[-1]}:
        raise ValueError("tiny16 takes no picture of one or three channels")
    channels_first = sizes[-1] not in (1, 3)
    rows, columns, channels = (*sizes[1:], sizes[0]) if channels_first else sizes
    image = picture if isinstance(picture, Image.Image) else Image.open(picture)
    image = ImageOps.exif_transpose(image).convert("RGB" if channels == 3 else "L")
    width, height = image.size
    factor = how["size"] / min(width, height) if how["size"] else max(rows / height, columns / width)
    width, height = max(columns, round(width * factor)), max(rows, round(height * factor))
    left, top = (width - columns) // 2, (height - rows) // 2
    image = image.resize((width, height), Image.BILINEAR).crop((left, top, left + columns, top + rows))
    values = np.asarray(image, np.float32).reshape(rows, columns, channels)
    if how["channel_order"] == "bgr":
        values = values[..., ::-1]
    values = (values - np.asarray(how["mean"], np.float32)) * np.asarray(how["scale"], np.float32)
    return values.transpose(2, 0, 1).reshape(INPUT_SHAPE) if channels_first else values


class Model:
    """One network with memory of its own: use one object for each thread that calls ``predict``.

    In a process that forked off it computes on one thread. Raises ValueError for a number of threads that cannot be,
    RuntimeError if the system gives no threads or the processor is too old for the library, OSError without it.
    """

    def __init__(self, threads=4, library=None):
        self._pool = None
        path = Path(library) if library else Path(__file__).with_name("libtiny16.so")
        lib = ctypes.CDLL(str(path))
        floats = ctypes.POINTER(ctypes.c_float)
        lib.tiny16_memory_bytes.argtypes = [ctypes.c_int]
        lib.tiny16_memory_bytes.restype = ctypes.c_size_t
        lib.tiny16_pool_create.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_void_p)]
        lib.tiny16_pool_destroy.argtypes = [ctypes.c_void_p]
        lib.tiny16_predict_parallel.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, floats, floats]
        lib.tiny16_error_text.argtypes = [ctypes.c_int]
        lib.tiny16_error_text.restype = ctypes.c_char_p
        if not 1 <= threads <= 1024:
            raise ValueError(f"the number of threads is not between 1 and 1024: {threads}")
        self._library = lib
        pool = ctypes.c_void_p()
        self._check(lib.tiny16_pool_create(threads, ctypes.byref(pool)))
        self._pool = pool.value
        self._bytes = lib.tiny16_memory_bytes(threads)
        self._memory = ctypes.create_string_buffer(self._bytes)
        # What a call needs besides is made once: to make it takes longer than a small layer.
        self._values = np.empty(768, np.float32)
        self._output = np.empty(5, np.float32)
        self._inputs = [
            (name, shape, self._values[first : first + math.prod(shape)]) for name, shape, first in INPUTS
        ]
        self._outputs = [
            (name, self._output[first : first + math.prod(shape)].reshape(shape)) for name, shape, first in OUTPUTS
        ]
        self._places = self._values.ctypes.data_as(floats), self._output.ctypes.data_as(floats)
        self._predict = lib.tiny16_predict_parallel

    def _check(self, code):
        if code:
            raise RuntimeError("tiny16: " + self._library.tiny16_error_text(code).decode())

    def predict(self, image):
        """The output (1 x 1 x 5, float32) for an input (16 x 16 x 3), or for as many values in
        that order. Several inputs are given in a dict by their names; several outputs come so."""
        for name, shape, place in self._inputs:
            given = np.asarray(image[name] if isinstance(image, dict) else image, dtype=np.float32)
            if given.shape != shape and given.shape != (place.size,):
                which = f" {name}" if len(self._inputs) > 1 else ""
                raise ValueError(f"the input{which} has the shape {given.shape}, tiny16 takes {shape}")
            place[:] = given.reshape(-1)
        self._check(self._predict(self._memory, self._bytes, self._pool, *self._places))
        if len(self._outputs) == 1:
            return self._outputs[0][1].copy()
        return {name: output.copy() for name, output in self._outputs}

    def predict_image(self, picture, **preprocess):
        """The output for a picture, see image_input."""
        return self.predict(image_input(picture, **preprocess))

    def close(self):
        """End the pool's threads."""
        if getattr(self, "_pool", None):
            self._library.tiny16_pool_destroy(self._pool)
            self._pool = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()


def predict(image):
    """The output for one input, with all threads of the target."""
    with Model() as model:
        return model.predict(image)
