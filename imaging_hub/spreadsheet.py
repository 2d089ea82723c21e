"""CSV files that people open in a spreadsheet."""

from __future__ import annotations


def escape_formula(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula (OWASP, CSV injection)."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
