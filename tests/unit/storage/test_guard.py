"""Nothing that a stranger's file says is believed before it is looked at."""

import json
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import read_or_refused

from world_models.errors import InputError
from world_models.schema import Parameters
from world_models.storage import guard, tensors

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
REPEATABLE = settings(max_examples=100, deadline=None, database=None, derandomize=True)


OUTSIDE = ("../x", "a/../../x", "/etc/passwd", "", ".", "..", "a//b", "a/", "./a", "a/.")
NO_NAMES = ("a\0b", "\ud800", "a\nb", "\x1b[2J", "x" * 256, "a/" + "ü" * 200)


@pytest.mark.parametrize("name", OUTSIDE + NO_NAMES, ids=ascii)
def test_a_name_that_leaves_its_folder_or_no_file_has_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"card\.json names the file") as caught:
        guard.inside(tmp_path, name, "card.json")
    assert str(caught.value).isprintable()


def test_names_of_files_are_those_within_the_folder(tmp_path):
    for name in ("shard-00000.h5", "more/notes of ü.txt", ".hidden", "..a"):
        assert guard.inside(tmp_path, name, "card.json") == tmp_path / name


def test_only_plain_files_are_opened(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"abc")
    (tmp_path / "link").symlink_to(plain)  # as DVC's cache may be linked
    assert guard.read_bytes(plain, 3) == guard.read_bytes(tmp_path / "link", 3) == b"abc"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "a named pipe"), ("zero", "a device"), ("folder", "a folder")):
        with pytest.raises(InputError, match=rf"{tmp_path / name} cannot be read: it is {kind}"):
            guard.read_bytes(tmp_path / name, 3)
    with pytest.raises(FileNotFoundError):
        guard.read_bytes(tmp_path / "nothing", 3)


def test_a_file_may_become_a_pipe_while_it_is_opened(tmp_path, monkeypatch):
    """It is judged once more when it is open, and opening does not wait for a writer."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(guard, "plain", lambda *_: None)
    with pytest.raises(InputError, match="a named pipe"), guard.opened(tmp_path / "pipe"):
        pass
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_file_above_its_limit_is_not_read(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(InputError, match=r"1,000,000,000,000 bytes, and such a file has 100"):
        guard.read_bytes(tmp_path / "large", 100)


BAD_JSON = {
    "nested": "[" * 200_000 + "]" * 200_000,
    "nested mappings": '{"a":' * 40 + "1" + "}" * 40,
    "list": "[1]",
    "NaN": '{"a": NaN}',
    "infinity": '{"a": [1e999]}',
    "large integer": '{"a": 9223372036854775808}',
    "integer of 10,000 digits": '{"a": %s}' % ("9" * 10_000),
    "lone surrogate": r'{"a": "\ud800"}',
    "escape codes": r'{"a": "\u001b[2J"}',
    "key with escape codes": r'{"\u001b[2J": 1}',
    "no JSON": "{",
    "no UTF-8": b"\xff\xfe",
}


@pytest.mark.parametrize("text", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_json_that_cannot_be_used_is_told(tmp_path, text):
    path = tmp_path / "card.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=rf"{path} cannot be read: ") as caught:
        guard.json_of(path)
    assert len(str(caught.value)) < len(str(path)) + 200


@REPEATABLE
@given(st.binary(max_size=60) | JSON.map(lambda content: json.dumps(content).encode()))
def test_any_bytes_are_a_mapping_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    found = read_or_refused(guard.json_of, path)
    if found is not None:
        json.dumps(found, allow_nan=False).encode()
        json.dumps(found, ensure_ascii=False).encode()


class Small(Parameters):
    size: int


def test_a_fault_of_content_is_told_with_key_and_value():
    for content, words in (
        ({"size": "4"}, r"card says size = '4': input should be"),
        ({}, r"card lacks size"),
        ({"size": 4, "more": 5}, r"card says more, which is unknown"),
        (5, r"card says all of it = 5"),
    ):
        with pytest.raises(InputError, match=words):
            guard.fitting(Small, content, "card")


HEADERS = st.dictionaries(
    st.text(max_size=5),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(("F32", "F16", "BF16", "F64", "I64", "BOOL", "F8_E4M3", "?")),
            "shape": st.lists(st.integers(-1, 2**64), max_size=3) | st.lists(st.integers(0, 3)),
            "data_offsets": st.lists(st.integers(0, 64), min_size=2, max_size=2),
        }
    )
    | JSON,
    max_size=3,
)


@REPEATABLE
@given(HEADERS.map(json.dumps).map(str.encode) | st.binary(max_size=40), st.binary(max_size=64))
def test_any_safetensors_file_is_arrays_or_refused(tmp_path_factory, header, data):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    found = read_or_refused(tensors.load, path) or {}
    assert all(tensors.finite(array) for array in found.values())
