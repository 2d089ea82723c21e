"""Attributes by keyword: each name is the keyword of its tag in the data dictionary."""

from __future__ import annotations

from pydicom import datadict

from imaging_hub.deidentification import standard_tables
from imaging_hub.dicom import tags

_NAMED = {name: tag for name, tag in vars(tags).items() if isinstance(tag, int)}


def test_each_name_is_the_keyword_of_its_tag() -> None:
    assert {name: datadict.keyword_for_tag(tag) for name, tag in _NAMED.items()} == {name: name for name in _NAMED}


def test_the_tags_are_in_order_and_named_once() -> None:
    assert list(_NAMED.values()) == sorted(set(_NAMED.values()))


def test_an_attribute_newer_than_the_dictionary_leaves_the_list_when_the_dictionary_has_it() -> None:
    assert [tag for tag in tags.NEWER if datadict.dictionary_has_tag(tag)] == []
    assert tags.NEWER.keys() <= standard_tables.by_tag().keys()
