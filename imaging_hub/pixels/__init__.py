"""Pixel data: frames decoded in a confined child process, and rendered as PNG."""
