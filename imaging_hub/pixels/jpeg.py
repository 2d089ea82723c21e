"""JPEG and JPEG-LS frames (PS3.5 §8.2.1, §8.2.3): a plug-in of pydicom's decoders around libjpeg-turbo and CharLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagecodecs import jpeg8_decode, jpegls_decode
from pydicom.pixels import get_decoder
from pydicom.uid import JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

PLUGIN = "imagecodecs"
SYNTAXES = frozenset(JPEGTransferSyntaxes + JPEGLSTransferSyntaxes)


def register() -> None:
    """Add the plug-in to pydicom's decoders; raises `ValueError` when it was added before."""
    for uid in SYNTAXES:
        get_decoder(uid).add_plugin(PLUGIN, (__name__, decode_frame.__name__))


def is_available(uid: str) -> bool:
    """Return whether frames of this transfer syntax can be decoded, as pydicom requires of a plug-in."""
    return uid in SYNTAXES


def decode_frame(stream: bytes, runner: DecodeRunner) -> bytes:
    """Return the samples of one frame, colour by pixel, in the colour space they were encoded in.

    Raises `ValueError` when the stream has not the size in the header, and any error of imagecodecs.
    """
    shape: tuple[int, ...] = (runner.rows, runner.columns)
    if runner.samples_per_pixel > 1:
        shape += (runner.samples_per_pixel,)
    if runner.transfer_syntax in JPEGLSTransferSyntaxes:
        pixels = jpegls_decode(stream)
    else:
        # The same space on both sides: libjpeg converts nothing, pydicom converts what the header says.
        space = "YCBCR" if runner.samples_per_pixel > 1 else "GRAYSCALE"
        pixels = jpeg8_decode(stream, colorspace=space)
    if pixels.shape != shape:
        raise ValueError("The stream's size is not the header's.")
    runner.set_option("bits_allocated", 8 * pixels.itemsize)
    runner.set_option("planar_configuration", 0)
    return pixels.tobytes()
