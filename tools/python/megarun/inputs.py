"""Turns texts, arrays and pictures of Python into inputs of the library, MegaRaw and MegaInput."""
from __future__ import annotations

import os
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from megarun.errors import ArgumentError
from megarun.library import ffi, lib

Input = Union[str, 'os.PathLike[str]', npt.NDArray[Any], Any]

_PCM = {'int16': 'MEGA_PCM_S16LE', 'int32': 'MEGA_PCM_S32LE', 'float32': 'MEGA_PCM_F32LE'}


class Raw:
    """An array of MegaRaw, and the memory that it points to."""

    def __init__(self, count: int) -> None:
        self.items = ffi.new('MegaRaw[]', count)
        self._kept: list[Any] = []

    def _keep(self, data: Any) -> Any:
        self._kept.append(data)
        return data

    def set_text(self, index: int, text: str) -> None:
        """Sets a text; surrogates that stand for undecodable bytes become these bytes again."""
        data = text.encode('utf-8', 'surrogateescape')
        raw = self.items[index]
        raw.kind = lib.MEGA_RAW_TEXT
        raw.data = self._keep(ffi.from_buffer(data))
        raw.size = len(data)

    def set_path(self, index: int, path: Any) -> None:
        """Sets the path of a file."""
        data = os.fsencode(path)
        if b'\0' in data:
            raise ArgumentError('a path cannot hold a NUL character')
        raw = self.items[index]
        raw.kind = lib.MEGA_RAW_PATH
        raw.data = self._keep(ffi.new('char[]', data))

    def set_sound(self, index: int, samples: npt.NDArray[Any], rate: int) -> None:
        """Sets samples [frames] or [frames, channels]; all floats become float32."""
        if samples.dtype.kind == 'f':
            samples = samples.astype('<f4')
        kind = samples.dtype.newbyteorder('=').name
        if kind not in _PCM or samples.ndim not in (1, 2):
            raise ArgumentError(
                f'an array of {samples.ndim} dimensions of {kind} is not sound: samples are int16, '
                'int32 or floats in [-1, 1], of shape [frames] or [frames, channels]')
        samples = np.ascontiguousarray(samples, samples.dtype.newbyteorder('<'))
        raw = self.items[index]
        raw.kind = lib.MEGA_RAW_PCM
        raw.data = self._keep(ffi.from_buffer(samples.data.cast('B') if samples.size else b''))
        raw.size = samples.nbytes
        raw.pcm.format = getattr(lib, _PCM[kind])
        raw.pcm.rate = rate
        raw.pcm.channels = samples.shape[1] if samples.ndim == 2 else 1

    def set_pixels(self, index: int, pixels: npt.NDArray[Any]) -> None:
        """Sets uint8 pixels [height, width] or [height, width, channels]."""
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
            raise ArgumentError(
                f'an array of {pixels.ndim} dimensions of {pixels.dtype.name} is not a picture: '
                'pixels are uint8, of shape [height, width] or [height, width, channels]')
        pixels = np.ascontiguousarray(pixels)
        raw = self.items[index]
        raw.kind = lib.MEGA_RAW_PIXELS
        raw.data = self._keep(ffi.from_buffer(pixels.data.cast('B') if pixels.size else b''))
        raw.size = pixels.nbytes
        raw.height, raw.width = pixels.shape[:2]
        raw.channels = pixels.shape[2] if pixels.ndim == 3 else 1


def c_string(text: str, what: str) -> Any:
    """Makes a string of C, which cannot hold a NUL character; `what` names it for the exception."""
    data = text.encode('utf-8', 'surrogateescape')
    if b'\0' in data:
        raise ArgumentError(f'{what} cannot hold a NUL character')
    return ffi.new('char[]', data)


def int32_array(values: npt.ArrayLike, what: str) -> npt.NDArray[np.int32]:
    """Returns whole numbers as an array of int32 [length], and refuses those that do not fit;
    `what` ("a token id") names one for the exception."""
    array = np.asarray(values)
    if array.size and array.dtype.kind not in 'iub':
        raise ArgumentError(f'{what} is a whole number, not {array.dtype.name}')
    if array.ndim != 1:
        raise ArgumentError(f'an array has {array.ndim} dimensions; expected [length], with {what} '
                            'in each place')
    if array.size and (array.min() < -2**31 or array.max() >= 2**31):
        raise ArgumentError(f'{what} does not fit into 32 bits')
    return np.ascontiguousarray(array, np.int32)


def is_picture(value: Any) -> bool:
    """Returns whether a value is an image of Pillow, which need not be installed."""
    return hasattr(value, 'getbands') and hasattr(value, 'convert')


def pixels_of(picture: Any) -> npt.NDArray[np.uint8]:
    """Returns the pixels of an image of Pillow as the library reads its file: turned as its Exif
    orientation says, gray or RGB, transparent pixels blended with white."""
    from PIL import Image, ImageOps  # is installed, since the caller has an image of it

    picture = ImageOps.exif_transpose(picture)
    if 'transparency' in picture.info or picture.mode in ('RGBA', 'LA', 'PA', 'RGBa', 'La'):
        picture = picture.convert('RGBA')
        picture = Image.alpha_composite(Image.new('RGBA', picture.size, 'white'), picture)
    if picture.mode.startswith('I'):  # pixels have 16 bits, of which the upper 8 count
        return np.asarray(np.asarray(picture, np.int64).clip(0, 65535) >> 8, np.uint8)
    if picture.mode not in ('L', 'RGB'):
        picture = picture.convert('L' if picture.mode in ('1', 'F') else 'RGB')
    return np.asarray(picture, np.uint8)


def model_input(array: npt.ArrayLike, types: npt.ArrayLike | None = None) -> tuple[Any, list[Any]]:
    """Makes a MegaInput of an array that is prepared for the model, and the memory it points to.

    Integers [length] are token ids; reals are samples [length], positions [length, values] or an
    image [channels, height, width].
    """
    values = np.asarray(array)
    view = ffi.new('MegaInput *')
    if values.dtype.kind in 'iub' and values.ndim == 1:
        values = int32_array(values, 'a token id')
        view.kind = lib.MEGA_INPUT_TOKENS
        view.tokens = ffi.from_buffer('int32_t[]', values)
    elif values.dtype.kind == 'f' and values.ndim in (1, 2, 3):
        values = np.ascontiguousarray(values, np.float32)
        view.kind = lib.MEGA_INPUT_IMAGE if values.ndim == 3 else lib.MEGA_INPUT_SAMPLES
        view.values = ffi.from_buffer('float[]', values)
        if values.ndim == 3:
            view.channels, view.height, view.width = values.shape
    else:
        raise ArgumentError(
            f'an array of {values.ndim} dimensions of {values.dtype.name} is not an input: token ids '
            'are integers [length], samples are reals [length], positions are reals '
            '[length, values], and images are reals [channels, height, width]')
    view.length = values.size
    kept: list[Any] = [values]
    if types is not None:
        chosen = int32_array(types, 'a token type')
        if chosen.shape != values.shape:
            raise ArgumentError(f'there are {chosen.size} token types for {values.size} tokens')
        view.types = ffi.from_buffer('int32_t[]', chosen)
        kept.append(chosen)
    return view, kept
