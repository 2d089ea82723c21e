"""Access to a stored header by attribute keywords."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, datetime

from imaging_hub.dicom import values, walk
from imaging_hub.dicom.element_runs import ElementRunReader, elements_of
from imaging_hub.dicom.elements import Buffer, Dataset, Element
from imaging_hub.dicom.values import Charset
from imaging_hub.errors import MalformedDataset

_INTEGERS = 2**31  # IS is 32 bits wide (PS3.5 §6.2), and so are the index's columns


class StoredHeader:
    """Attributes of one dataset or item; missing and malformed values read as empty."""

    def __init__(self, dataset: Dataset, inherited: Charset = values.LATIN_1) -> None:
        self.dataset = dataset
        self._charset = values.charset_of(dataset, inherited)

    @classmethod
    def read(cls, encoded: Buffer, transfer_syntax_uid: str) -> StoredHeader:
        """Read an encoded header of the index; raises `MalformedDataset`."""
        return cls(walk.read(encoded, transfer_syntax_uid))

    @classmethod
    def read_all(cls, encoded: Iterable[tuple[Buffer, str]]) -> list[StoredHeader]:
        """Read encoded headers with their transfer syntaxes; parts that neighbours share are read once.

        Raises `MalformedDataset`.
        """
        reader = ElementRunReader()
        return [cls(elements_of(reader.read(*instance))) for instance in encoded]

    def texts(self, keyword: str) -> list[str]:
        """Return the values, without padding and control characters."""
        element = self._element(keyword)
        if element is None or isinstance(element.value, list):
            return []
        return ["".join(filter(str.isprintable, text)).strip() for text in values.texts(element, self._charset)]

    def text(self, keyword: str) -> str:
        """Return the first value, or an empty string."""
        return next(iter(self.texts(keyword)), "")

    def numbers(self, keyword: str) -> list[float]:
        """Return the values, or none when one is not a finite number."""
        element = self._element(keyword)
        if element is None or isinstance(element.value, list):
            return []
        try:
            numbers = [float(number) for number in values.numbers(element)]
        except MalformedDataset:
            return []
        return numbers if all(map(math.isfinite, numbers)) else []

    def number(self, keyword: str) -> float | None:
        """Return the first value."""
        return next(iter(self.numbers(keyword)), None)

    def integer(self, keyword: str) -> int | None:
        """Return the first value as an integer, or None when it does not fit 32 bits."""
        number = self.number(keyword)
        return int(number) if number is not None and -_INTEGERS <= number < _INTEGERS else None

    def day(self, keyword: str) -> date | None:
        """Return the first value of a DA attribute."""
        try:
            return datetime.strptime(self.text(keyword), "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            return None

    def items(self, keyword: str) -> list[StoredHeader]:
        """Return the items of a sequence."""
        return [StoredHeader(item, self._charset) for item in values.items(self.dataset, values.tag(keyword))]

    def _element(self, keyword: str) -> Element | None:
        return values.find(self.dataset, values.tag(keyword))
