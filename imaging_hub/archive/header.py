"""A stored header, read by the attributes' keywords."""

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
    """The attributes of one dataset or item; what is absent or unreadable is empty, never an error."""

    def __init__(self, dataset: Dataset, inherited: Charset = values.LATIN_1) -> None:
        self.dataset = dataset
        self._charset = values.charset_of(dataset, inherited)

    @classmethod
    def read(cls, encoded: Buffer, transfer_syntax_uid: str) -> StoredHeader:
        """The header as the index keeps it; raises `MalformedDataset`."""
        return cls(walk.read(encoded, transfer_syntax_uid))

    @classmethod
    def read_all(cls, encoded: Iterable[tuple[Buffer, str]]) -> list[StoredHeader]:
        """The headers of instances with their transfer syntaxes; what neighbours have in common is read once."""
        reader = ElementRunReader()
        return [cls(elements_of(reader.read(*one))) for one in encoded]

    def texts(self, keyword: str) -> list[str]:
        """The values, printable and without padding."""
        element = self._element(keyword)
        if element is None or isinstance(element.value, list):
            return []
        return ["".join(filter(str.isprintable, text)).strip() for text in values.texts(element, self._charset)]

    def text(self, keyword: str) -> str:
        """The first value, or nothing."""
        return next(iter(self.texts(keyword)), "")

    def numbers(self, keyword: str) -> list[float]:
        """The values that are finite numbers; none at all when one is not."""
        element = self._element(keyword)
        if element is None or isinstance(element.value, list):
            return []
        try:
            numbers = [float(number) for number in values.numbers(element)]
        except MalformedDataset:
            return []
        return numbers if all(map(math.isfinite, numbers)) else []

    def number(self, keyword: str) -> float | None:
        """The first value."""
        return next(iter(self.numbers(keyword)), None)

    def integer(self, keyword: str) -> int | None:
        """The first value, when it is an integer of 32 bits."""
        number = self.number(keyword)
        return int(number) if number is not None and -_INTEGERS <= number < _INTEGERS else None

    def day(self, keyword: str) -> date | None:
        """The first value of a DA attribute."""
        try:
            return datetime.strptime(self.text(keyword), "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            return None

    def items(self, keyword: str) -> list[StoredHeader]:
        """The items of a sequence."""
        return [StoredHeader(item, self._charset) for item in values.items(self.dataset, values.tag(keyword))]

    def _element(self, keyword: str) -> Element | None:
        return values.find(self.dataset, values.tag(keyword))
