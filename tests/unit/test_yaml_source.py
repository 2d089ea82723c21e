"""The one reader of YAML that people write: a clear error with a line for whatever is not a plain document."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_hub import yaml_source
from imaging_hub.cohorts import definition
from imaging_hub.deidentification.profile import profile
from imaging_hub.errors import DefinitionError, ProfileError
from imaging_hub.yaml_source import BYTES_MAX, DEPTH_MAX, YamlFault

ATTACKS = Path(__file__).resolve().parents[3] / "shared" / "trials" / "attacks"
READERS: dict[str, Callable[[Path], object]] = {"profile": profile.load, "cohort": definition.read}
MEMORY_MAX = 32 << 20
SECONDS_MAX = 10.0


def refused(text: str) -> YamlFault:
    """The fault of a document that must not be read."""
    with pytest.raises(YamlFault) as caught:
        yaml_source.parse(text)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a: [~, null, Null]", [None, None, None]),
        ("a: [true, True, FALSE]", [True, True, False]),
        ("a: [yes, no, on, off, y, N]", ["yes", "no", "on", "off", "y", "N"]),
        ("a: [7, -3, +4, 0552, 0x39]", [7, -3, 4, 552, 57]),
        ("a: [1.5, -.5, 2.]", [1.5, -0.5, 2.0]),
        ("a: [2026-01-31, 12:30, 24E05, .nan, .inf, 1_000]", ["2026-01-31", "12:30", "24E05", ".nan", ".inf", "1_000"]),
        ("a: ['7', \"true\", '']", ["7", "true", ""]),
        ("a: [" + "9" * 30 + "]", ["9" * 30]),
        ("a: |\n  one\n  two\n", "one\ntwo\n"),
        ("a: {b: {}, c: []}", {"b": {}, "c": []}),
        ("a:", None),
    ],
)
def test_a_value_is_what_it_looks_like(written: str, meant: object) -> None:
    assert yaml_source.parse(written).content == {"a": meant}


def test_every_key_and_entry_has_its_line() -> None:
    source = yaml_source.parse("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n")
    assert [source.line(path) for path in [(), ("a",), ("b",), ("b", 1), ("b", 1, "d")]] == [1, 1, 2, 4, 5]


def test_what_is_not_in_the_file_has_the_line_of_what_is_around_it() -> None:
    source = yaml_source.parse("a: 1\nb:\n  - {c: 2}\n")
    assert source.line(("b", 0, "missing")) == 3
    assert source.line(("b", "a part of the model's", 0, "c")) == 3
    assert source.line(("nothing",)) == 1


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: &x [1]\nb: *x\n", 2, "alias"),
        ("a: &x\n  - *x\n", 2, "alias"),
        ("a: 1\n<<: *x\n", 2, "alias"),
        ("a: 1\nb: 2\na: 3\n", 3, "`a` stands twice"),
        ("a:\n  - {b: 1,\n     b: 2}\n", 3, "`b` stands twice"),
        ("1: a\n'1': b\n", 2, "`1` stands twice"),
        ("a: 1\n? [b]\n: c\n", 2, "a key is a word"),
        ("? {b: 1}\n: c\n", 1, "a key is a word"),
        ("a: 1\nb: !!python/object/apply:os.system [true]\n", 2, "tag"),
        ("a: !!binary eA==\n", 1, "tag"),
        ("a: !!bool maybe\n", 1, "tag"),
        ("a: !x {}\n", 1, "tag"),
        ("a: 1\n---\nb: 2\n", 2, "one document"),
        ("- a\n", 1, "mapping"),
        ("", 1, "mapping"),
        ("# nothing\n", 1, "mapping"),
        ("a: 1\nb: \x07\n", 2, "character"),
        ('a: 1\nb: "\\0"\n', 2, "character"),
        ('a: 1\nb: "\\ud800"\n', 2, "character"),
        ('a: 1\n"\\e]0;x\\a": 2\n', 2, "character"),
        ('a: 1\nb: "\\x7f"\n', 2, "character"),
        ('a: 1\nb: "\\u202e"\n', 2, "character"),
        ("a: 1\nb: \ud800\n", 2, "character"),
        ('a: 1\nb: "\\UFFFFFFFF"\n', 2, "YAML"),
        ('a: 1\n"\\U00110000": 2\n', 2, "YAML"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1\n", 1, "YAML"),
        ("a: 1\nb: [c\n", 3, ""),
        ("a: 1\n\tb: 2\n", 2, ""),
    ],
)
def test_what_is_no_plain_document_is_refused_at_its_line(text: str, line: int, problem: str) -> None:
    fault = refused(text)
    assert fault.line == line
    assert problem in fault.problem


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "{? ["])
@pytest.mark.parametrize("depth", [DEPTH_MAX + 1, 10_000])
def test_deep_nesting_is_refused(opening: str, depth: int) -> None:
    nested = opening * min(depth, (BYTES_MAX - 10) // len(opening))
    assert "deep" in refused(f"a:\n {nested}").problem or opening in ("? ", "{? [")


def test_as_deep_as_is_allowed_is_read() -> None:
    depth = DEPTH_MAX - 1
    assert yaml_source.parse("a: " + "[" * depth + "]" * depth).content


def test_a_large_document_is_refused_before_it_is_read(tmp_path: Path) -> None:
    assert "larger" in refused("a: " + "x" * BYTES_MAX).problem
    endless = tmp_path / "endless.yaml"
    with endless.open("wb") as file:
        file.truncate(1 << 40)
    before = time.monotonic()
    with pytest.raises(YamlFault, match="larger"):
        yaml_source.read(endless)
    assert time.monotonic() - before < 1
    accented = tmp_path / "accented.yaml"
    accented.write_text("a: " + "é" * (BYTES_MAX - 10), "utf-8")
    with pytest.raises(YamlFault, match="larger"):
        yaml_source.read(accented)


def test_a_file_that_is_no_text_is_refused_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(YamlFault, match="UTF-8") as caught:
        yaml_source.read(path)
    assert caught.value.line == 2
    for missing in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(YamlFault, match="cannot be read"):
            yaml_source.read(missing)


LEAVES = st.sampled_from(
    ["x", "7", "''", "*a", "&a x", "&b [*b]", "!!int 7", "!!set {}", "? x", "|", "\\", '"\\ud800"', "yes", "\x85", "\t"]
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: "[" + ", ".join(parts) + "]")
        | st.lists(st.tuples(LEAVES, inner), max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        )
        | st.lists(inner, max_size=4).map(lambda parts: "\n".join(f"- {part}" for part in parts))
    ),
    max_leaves=20,
)
MARKS = st.lists(st.sampled_from([*"[]{}?:-&*!|>'\"%@`#,\n \t", ": ", "- ", "a", "7", "---\n", "...", "\\u"])).map(
    "".join
)


def assert_read_or_refused(read: Callable[[], yaml_source.YamlSource], lines: int) -> None:
    """Either a plain mapping that any text format can hold, or a fault at a line of the document."""
    try:
        source = read()
    except YamlFault as fault:
        assert 1 <= fault.line <= lines + 1
        assert fault.problem
        assert fault.remedy
    else:
        json.dumps(source.content, allow_nan=False, ensure_ascii=False).encode()
        assert all(1 <= line <= lines + 1 for line in source.lines.values())


@given(DOCUMENTS | MARKS | DOCUMENTS.map(lambda text: f"name: {text}") | st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_at_a_line(text: str) -> None:
    assert_read_or_refused(lambda: yaml_source.parse(text), len(text.splitlines()) or 1)


@given(content=st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_any_file_is_read_or_refused_at_a_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    lines = len(content.decode("utf-8", "replace").splitlines()) or 1
    assert_read_or_refused(lambda: yaml_source.read(path), lines)


@given(before=DOCUMENTS, name=st.text("abc", min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_no_document_with_an_alias_is_read(before: str, name: str) -> None:
    refused(f"name: [{name}]\nanchor: &{name} x\nbefore: {before}\nalias: *{name}\n")


def filled(part: str) -> str:
    """A document as large as may be, of one part over and over."""
    return "a:\n" + part * ((BYTES_MAX - 3) // len(part.encode()))


@pytest.mark.parametrize("part", [" - [[[[1]]]]\n", ' "\\\n', " []", "#\n"])
def test_the_largest_documents_take_little_memory_and_time(part: str) -> None:
    tracemalloc.start()
    began = time.process_time()
    try:
        yaml_source.parse(filled(part))
    except YamlFault:
        pass
    finally:
        seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MEMORY_MAX
    assert seconds < SECONDS_MAX


def bomb(levels: int) -> str:
    """Aliases of aliases: ten times as much a level."""
    lines = ["name: bomb", f"l0: &l0 [{', '.join('x' * 10)}]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("text", "line"),
    [
        (bomb(9), 3),
        ("name: a\ndescription: &a\n  - *a\n", 3),
        ("name: a\nrules: " + "[" * 5000, 2),
        ("name: a\nrules: [!!python/name:os.system x]\n", 2),
        ("name: a\nname: b\n", 2),
        ("name: a\n? [x]\n: b\n", 2),
        ("\x00\x01\x02", 1),
        ("x" * (BYTES_MAX + 1), 1),
    ],
)
def test_profiles_and_cohorts_refuse_the_same(tmp_path: Path, reader: str, text: str, line: int) -> None:
    path = tmp_path / "given.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises((ProfileError, DefinitionError)) as caught:
        READERS[reader](path)
    first = str(caught.value).splitlines()[0]
    assert f"given.yaml:{line}: " in first
    assert caught.value.hint or "; " in first


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["alias-bomb.yaml", "recursive-alias.yaml"])
def test_the_attacks_of_the_trials_are_refused_at_once(reader: str, name: str) -> None:
    if not (path := ATTACKS / name).is_file():
        pytest.skip("the shared trials are not beside the project")
    began = time.process_time()
    with pytest.raises((ProfileError, DefinitionError), match=rf"{name}:3: .*alias"):
        READERS[reader](path)
    assert time.process_time() - began < 1


KEYS = ["name", "title", "description", "extends", "options", "rules", "burned_in", "quarantine", "documents"]


@given(key=st.sampled_from([*KEYS, "review", "age_cap_years"]), value=DOCUMENTS)
@settings(max_examples=200, deadline=None)
def test_any_value_of_any_key_of_a_profile_is_taken_or_refused_at_a_line(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-profile.yaml"
    keys = {"name": "any", "title": "Any", "extends": "basic", key: value}
    path.write_text("".join(f"{name}: {given}\n" for name, given in keys.items()), "utf-8")
    try:
        profile.load(path)
    except ProfileError as fault:
        assert str(fault).startswith("any-profile.yaml:")
        assert fault.hint
