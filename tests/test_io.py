"""Weights and states on disk: exact round trips, and files that survive crashes and refuse damage."""

import json
import os
import types

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastnn as fn
from fastnn.io import load, load_metadata, load_state, save, save_state
from file_faults import same
from processes import output_of

DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "c8", ">f4", ">i8"]
arrays = hnp.arrays(
    st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4), elements=None
)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda name: name != "__metadata__")


# Round trips


@settings(deadline=None)
@given(content=st.dictionaries(names, arrays, max_size=5), metadata=st.dictionaries(names, names, max_size=3))
def test_weights_round_trip(tmp_path_factory, content, metadata):
    path = tmp_path_factory.mktemp("io") / "w.safetensors"
    save(content, path, metadata)
    loaded = load(path)
    assert set(loaded) == set(content)
    assert all(same(array, loaded[name]) for name, array in content.items())
    assert load_metadata(path) == metadata
    again = path.with_name("again")
    save(content, again, metadata)
    assert again.read_bytes() == path.read_bytes()


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**200), 2**200), st.floats(), st.text(max_size=6),
    st.floats(width=32).map(np.float32), st.integers(0, 2**64 - 1).map(np.uint64), arrays,
)  # fmt: skip
keys = st.one_of(st.text(max_size=4), st.sampled_from(["$", "a/b", "a", "b", "__metadata__"]), st.integers(), st.none())
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(tree=trees)
def test_states_round_trip(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("io") / "s.state"
    save_state(path, tree, {"by": "a test"})
    assert same(tree, load_state(path))
    assert load_metadata(path)["by"] == "a test"


def test_generators_round_trip(tmp_path):
    for kind in (np.random.PCG64, np.random.Philox, np.random.MT19937, np.random.SFC64):
        generator = np.random.Generator(kind(7))
        generator.random(5)
        save_state(tmp_path / "g", generator.bit_generator.state)
        other = np.random.Generator(kind(0))
        other.bit_generator.state = load_state(tmp_path / "g")
        np.testing.assert_array_equal(generator.random(9), other.random(9))


def test_arrays_of_any_strides_are_saved_by_value(tmp_path):
    x = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    views = {"t": x.T, "rev": x[::-1, :, ::2], "b": np.broadcast_to(x[:1], (5, 3, 4)), "last": x.transpose(0, 2, 1)}
    save(views, tmp_path / "w")
    for name, array in load(tmp_path / "w").items():
        np.testing.assert_array_equal(array, views[name])
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_other_programs_read_the_files_and_the_other_way_round(tmp_path):
    content = {"weight": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), "steps": np.array(3)}
    save(content, tmp_path / "ours", {"k": "v"})
    theirs = safetensors.numpy.load_file(tmp_path / "ours")
    assert all(same(content[name], theirs[name]) for name in content)
    safetensors.numpy.save_file(content, tmp_path / "theirs", {"k": "v"})
    ours = load(tmp_path / "theirs")
    assert all(same(content[name], ours[name]) for name in content)
    assert load_metadata(tmp_path / "theirs") == {"k": "v"}


def test_a_model_is_saved_by_its_state_dict(tmp_path):
    model = types.SimpleNamespace(state_dict=lambda: {"a": np.ones(2)})
    fn.save(model, tmp_path / "w")
    np.testing.assert_array_equal(fn.load(tmp_path / "w")["a"], [1, 1])


def test_bfloat16_becomes_float32(tmp_path):
    values = np.float32([1.5, -2, np.inf, 2.0**-130])
    header = json.dumps({"a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}).encode()
    data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header + data)
    np.testing.assert_array_equal(load(tmp_path / "w")["a"], values.reshape(2, 2))


def test_tensors_are_aligned_and_keep_their_order(tmp_path):
    content = {"z": np.zeros(3, np.uint8), "b": np.zeros(1), "a": np.zeros(3, np.float32), "c": np.zeros(5, np.uint8)}
    save(content, tmp_path / "w")
    raw = (tmp_path / "w").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    assert length % 8 == 0
    assert list(header) == ["b", "a", "z", "c"]
    assert all(entry["data_offsets"][0] % content[name].itemsize == 0 for name, entry in header.items())


# Bad requests


@pytest.mark.parametrize(
    ("content", "metadata", "message"),
    [
        ([1, 2], None, "expected a module or a dict of arrays, got list"),
        ({1: np.zeros(1)}, None, "expected array names to be strings, got 1"),
        ({"__metadata__": np.zeros(1)}, None, "'__metadata__' is reserved"),
        ({"\ud800": np.zeros(1)}, None, "expected array name to be valid Unicode"),
        ({"a": np.array(["x"])}, None, "expected array 'a' to have one of the dtypes of safetensors, got <U1"),
        ({"a": np.zeros(1, np.complex128)}, None, "got complex128"),
        ({"a": np.array([None])}, None, "got object"),
        ({}, {"epoch": 3}, "expected metadata of strings to strings, got 'epoch': 3"),
        ({}, {"a": "\udfff"}, "expected metadata value to be valid Unicode"),
    ],
)
def test_save_refuses_what_the_format_cannot_hold(tmp_path, content, metadata, message):
    with pytest.raises((TypeError, ValueError), match=message):
        save(content, tmp_path / "w", metadata)
    assert not os.listdir(tmp_path)


def test_a_header_over_the_limit_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("fastnn.io.weights.MAX_HEADER", 1000)
    with pytest.raises(ValueError, match="expected a header of at most 1000 bytes, got 20"):
        save({}, tmp_path / "w", {"long": "x" * 2000})
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": [1, {2, 3}]}, "got set at a/1"),
        ({"a": {"b": b"bytes"}}, "got bytes at a/b"),
        ({(1, 2): 3}, r"expected plain dict keys, got tuple \(1, 2\) at state"),
        ({"a": np.array([None])}, "expected array 'a' to have one of the dtypes"),
    ],
)
def test_a_state_is_plain_data_and_arrays(tmp_path, tree, message):
    with pytest.raises(TypeError, match=message):
        save_state(tmp_path / "s", tree)
    assert not os.listdir(tmp_path)


def test_a_state_that_contains_itself_is_refused(tmp_path):
    tree = {}
    tree["again"] = [tree]
    with pytest.raises(ValueError, match="expected at most 100 levels, got more at again/0/again/0"):
        save_state(tmp_path / "s", tree)
    deepest = "leaf"
    for _ in range(50):
        deepest = {1: (deepest,)}
    save_state(tmp_path / "s", deepest)
    assert same(load_state(tmp_path / "s"), deepest)
    with pytest.raises(ValueError, match="expected at most 100 levels"):
        save_state(tmp_path / "s", [deepest])


def test_the_states_own_metadata_keys_are_taken(tmp_path):
    with pytest.raises(ValueError, match="'format' and 'state' are taken"):
        save_state(tmp_path / "s", {}, {"state": "x"})


def test_weights_are_no_state(tmp_path):
    save({"a": np.zeros(1)}, tmp_path / "w", {"format": "pt"})
    with pytest.raises(ValueError, match=r"w: expected a state of format 'fastnn-state-1', got 'pt'"):
        load_state(tmp_path / "w")


# Damaged files


def some_weights(path):
    content = {"layer.weight": np.arange(60, dtype=np.float32).reshape(6, 10), "steps": np.array(9)}
    save(content, path, {"model": "tiny", "classes": '["a", "b"]'})
    return load


def some_state(path):
    save_state(path, {"epoch": 3, "t": (1, 2.5, float("nan")), 7: {"$": [np.float32(1), np.arange(9)]}, "big": 2**99})
    return load_state


def complaint(read, path):
    """Return what reading a file complains of, or None."""
    try:
        read(path)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("make", [some_weights, some_state])
def test_every_truncation_is_refused_by_name(tmp_path, make):
    path = tmp_path / "file"
    read = make(path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="file: expected"):
            read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="file: expected"):
        read(path)


@pytest.mark.parametrize("make", [some_weights, some_state])
def test_a_changed_header_byte_gives_an_error_or_a_valid_file(tmp_path, make):
    path = tmp_path / "file"
    read = make(path)
    whole = bytearray(path.read_bytes())
    refused = 0
    for at in range(8 + int.from_bytes(whole[:8], "little")):
        for bit in (0, 3, 5):
            whole[at] ^= 1 << bit
            path.write_bytes(whole)
            for attempt in (read, load_metadata):
                message = complaint(attempt, path)
                assert message is None or "file: expected" in message
                refused += message is not None
            whole[at] ^= 1 << bit
    assert refused > 300


@settings(deadline=None, max_examples=300)
@given(content=st.binary(max_size=200), framed=st.booleans())
def test_random_bytes_are_refused(tmp_path_factory, content, framed):
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(len(content).to_bytes(8, "little") + content if framed else content)
    for read in (load, load_state, load_metadata):
        with pytest.raises(ValueError, match="noise: expected"):
            read(path)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.sampled_from(["a", "nan", "x"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["$", "name", "items", "value", "q"]), inner, max_size=3),
        st.builds(
            lambda kind, item: {"$": kind, "items": item, "name": item, "value": item},
            st.sampled_from(["tuple", "dict", "array", "scalar", "float", "?"]), inner,
        ),
    ),
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(value=json_values)
def test_a_forged_state_is_read_or_refused(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "forged"
    save({"a": np.zeros(2)}, path, {"format": "fastnn-state-1", "state": json.dumps(value)})
    message = complaint(load_state, path)
    assert message is None or "forged: expected a state" in message


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"$":"tuple","items":[' * 150 + "]}" * 150, "1" * 5000, '{"$":"float","value":[]}', "{"]
)
def test_a_monstrous_state_is_refused(tmp_path, text):
    save({}, tmp_path / "s", {"format": "fastnn-state-1", "state": text})
    with pytest.raises(ValueError, match=r"s: expected a state .*damaged"):
        load_state(tmp_path / "s")


def test_a_header_longer_than_the_file_allocates_nothing(tmp_path):
    (tmp_path / "w").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="expected a safetensors header of at most 2 bytes, got a length of"):
        load(tmp_path / "w")


def test_booleans_must_be_0_or_1(tmp_path):
    save({"a": np.array([True, False])}, tmp_path / "w")
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes()[:-1] + b"\2")
    with pytest.raises(ValueError, match="expected bytes 0 and 1 in boolean tensor 'a'"):
        load(tmp_path / "w")


@pytest.mark.parametrize("read", [load, load_state, load_metadata])
def test_a_missing_file_or_a_folder_is_an_oserror_with_its_name(tmp_path, read):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(OSError, match=path.name):
            read(path)


def test_equal_states_give_equal_files_however_python_hashes(tmp_path):
    script = "import numpy as np; from fastnn.io import save_state\n"
    script += "save_state({path!r}, {{'b': 1, 'a': {{'y': np.zeros(2), 'x': 1.5}}}}, {{'m': '1', 'k': '2'}})"
    for seed in ("1", "2"):
        output_of(script.format(path=str(tmp_path / seed)), PYTHONHASHSEED=seed)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
