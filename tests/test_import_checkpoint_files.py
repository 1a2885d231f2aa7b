"""Reading checkpoint files that nobody vouches for: nothing is executed, nothing escapes."""

import argparse
import contextlib
import os
import pickle
import resource
import tracemalloc
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from saccade.core.errors import BadCheckpoint, BadData
from saccade.datasets.plain_pickle import read_pickle
from saccade.interop.torch_files import Inert, Saved, read_checkpoint, tensors_of
from tests import import_samples as samples
from tests.processes import forked

PLAIN = {
    "text": ["é", "", "a\nb", "日本"],
    "numbers": [0, -1, 255, 65536, 2**31, -(2**40), 10**40, 1.5, True, False, None],
    "nested": {"tuple": (1, (2, 3), ()), 5: [[], {}], "bytes": b"\xff\x00"},
    "sets": {1, 2},
    "frozen": frozenset({"a"}),
    "many": list(range(3000)),
    "ordered": OrderedDict(b=1, a=2),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_read_as_pickle_reads_them(tmp_path, protocol):
    path = tmp_path / "plain.pkl"
    shared = [1]
    value = {**PLAIN, "twice": [shared, shared]}
    path.write_bytes(pickle.dumps(value, protocol))
    got = read_checkpoint(path)
    assert got == value
    assert got["twice"][0] is got["twice"][1]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_more_objects_than_two_bytes_number(tmp_path, protocol):
    """Their numbers are checked before the unpickler written in C keeps a place for each."""
    path, value = tmp_path / "many.pkl", [(n, str(n)) for n in range(70_000)]
    path.write_bytes(pickle.dumps(value, protocol))
    assert read_checkpoint(path) == value


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_a_prediction_for_every_question_is_read_along(tmp_path, new, shared):
    """pytorch-vqa keeps 640,000 of them, each a tensor; nobody needs them."""
    path, numbers = tmp_path / "many.pth", torch.arange(3000.0)
    several = list(numbers) if shared else [number.clone() for number in numbers]
    value = {"weights": {"w": torch.ones(2, 2)}, "eval": {"answers": several}}
    torch.save(value, path, _use_new_zipfile_serialization=new)
    got = read_checkpoint(path)
    assert tensors_of(got["weights"])["w"].read().tolist() == [[1, 1], [1, 1]]
    assert [one.read().item() for one in got["eval"]["answers"]] == numbers.tolist()


def test_strings_of_python_2_are_utf_8_where_they_can_be(tmp_path):
    path = tmp_path / "old.pkl"
    path.write_bytes(b"(lp1\nS'caf\\xc3\\xa9'\np2\naS'\\xe9'\naVw\\u00f6rd\naI01\naL12L\na.")
    assert read_checkpoint(path) == ["café", "é", "wörd", True, 12]
    path.write_bytes(b"\x80\x02]q\x00(U\x05caf\xc3\xa9T\x02\x00\x00\x00okh\x00e.")
    assert read_checkpoint(path)[:2] == ["café", "ok"]


def test_objects_are_remembered_and_do_nothing(tmp_path):
    path = tmp_path / "objects.pkl"
    told = argparse.Namespace(rnn_size=512, vocab={"1": "a"})
    path.write_bytes(
        pickle.dumps({"opt": told, "count": Counter("aab"), "kind": argparse.Namespace})
    )
    got = read_checkpoint(path)
    assert isinstance(got["opt"], Inert)
    assert got["opt"].attributes == {"rnn_size": 512, "vocab": {"1": "a"}}
    assert got["kind"].name == "argparse.Namespace"


class Evil:
    """Calls something when it is unpickled."""

    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


def evils(marker):
    return {
        "os.system": Evil(os.system, f"touch {marker}"),
        "eval": Evil(eval, f"open({str(marker)!r}, 'w')"),
        "exec": Evil(exec, f"open({str(marker)!r}, 'w')"),
        "open": Evil(open, str(marker), "w"),
        "getattr": Evil(getattr, "x", "upper"),
        "import": Evil(__import__, "os"),
        "torch.load": Evil(torch.load, str(marker)),
        "bare": os.system,
    }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", evils("m"))
def test_a_malicious_pickle_is_refused_by_name_and_not_run(tmp_path, name, protocol):
    marker, path = tmp_path / "marker", tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"weights": evils(marker)[name]}, protocol))
    with pytest.raises(BadCheckpoint, match=r"asks for \S+\.\w+, which is on no list") as refused:
        read_checkpoint(path)
    assert str(path) in str(refused.value)
    assert not marker.exists()


@pytest.mark.parametrize("new", [True, False])
def test_a_malicious_checkpoint_is_refused_too(tmp_path, new):
    marker, path = tmp_path / "marker", tmp_path / "evil.pth"
    value = {"weights": {"w": torch.ones(2)}, "tracker": Evil(os.system, f"touch {marker}")}
    torch.save(value, path, _use_new_zipfile_serialization=new)
    with pytest.raises(BadCheckpoint, match=r"\.system"):
        read_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize("code", [b"\x82\x01.", b"\x83\x01\x00.", b"\x84\x01\x00\x00\x00."])
def test_the_extension_registry_is_not_asked(tmp_path, code):
    path = tmp_path / "extension.pkl"
    path.write_bytes(b"\x80\x02" + code)
    with pytest.raises(BadCheckpoint, match="instruction EXT"):
        read_checkpoint(path)


def a_module():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LSTM(4, 2, bidirectional=True))
    module.register_buffer("passing", torch.ones(2), persistent=False)
    return module


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_module_and_its_state_dict_have_the_same_tensors(tmp_path, new, whole, wrapped):
    module, path = a_module(), tmp_path / "module.pt"
    state = samples.parallel(module.state_dict()) if wrapped else module.state_dict()
    torch.save(
        nn.DataParallel(module) if whole and wrapped else module if whole else state,
        path,
        _use_new_zipfile_serialization=new,
    )
    got = tensors_of(read_checkpoint(path))
    assert {name: saved.read().tolist() for name, saved in got.items()} == {
        name: tensor.tolist() for name, tensor in module.state_dict().items()
    }


def test_tensors_of_every_kind_and_view(tmp_path):
    path = tmp_path / "kinds.pt"
    whole = torch.arange(24).reshape(4, 6)
    value = {
        "half": torch.rand(3).half(),
        "brain": torch.rand(3).bfloat16(),
        "double": torch.rand(2, 2).double(),
        "bool": torch.tensor([True, False]),
        "bytes": torch.arange(3, dtype=torch.uint8),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 5),
        "turned": whole.T,
        "part": whole[1:3, 2:],
    }
    for new in (True, False):
        torch.save(value, path, _use_new_zipfile_serialization=new)
        for name, saved in read_checkpoint(path).items():
            assert isinstance(saved, Saved)
            assert saved.read().dtype == value[name].dtype
            torch.testing.assert_close(saved.read(), value[name])


def files(folder):
    """One file of each layout, as bytes."""
    module = a_module()
    found = []
    for new in (True, False):
        path = folder / f"{new}.pt"
        torch.save({"model": module, "state": module.state_dict()}, path,
                   _use_new_zipfile_serialization=new)  # fmt: skip
        found.append(path.read_bytes())
    return [*found, pickle.dumps(PLAIN, 2), pickle.dumps(PLAIN, 0)]


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    return files(tmp_path_factory.mktemp("whole"))


def read_all(path):
    """Read a file with every tensor in it; only BadCheckpoint may be raised."""
    value = read_checkpoint(path)
    for part in [value, *(value.values() if isinstance(value, dict) else [])]:
        for saved in (tensors_of(part) or {}).values():
            saved.read()


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 3), share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_gives_one_error(whole_files, tmp_path, which, share):
    whole = whole_files[which]
    path = tmp_path / "cut"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BadCheckpoint):
        read_all(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 3), data=st.data())
def test_changed_bytes_give_an_error_or_nothing_worse_than_another_value(
    whole_files, tmp_path, which, data
):
    changed = bytearray(whole_files[which])
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "changed"
    path.write_bytes(changed)
    with contextlib.suppress(BadCheckpoint):
        read_all(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(code=st.binary(max_size=60))
def test_any_bytes_at_all_give_an_error_or_a_value(tmp_path, code):
    path = tmp_path / "any"
    path.write_bytes(b"\x80\x02" + code + b".")
    with contextlib.suppress(BadCheckpoint):
        read_all(path)


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    path = tmp_path / "beyond.pt"
    torch.save({"w": torch.zeros(4)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    code = parts["beyond/data.pkl"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in parts.items():
            # BININT1 4 says how many: as the shape, but not as the storage's length.
            at = code.rindex(b"K\x04")
            broken = code[:at] + b"K\x63" + code[at + 2 :]
            archive.writestr(name, broken if raw is code else raw)
    with pytest.raises(BadCheckpoint, match="larger than its storage"):
        read_checkpoint(path)


def test_other_files_are_named_for_what_they_are(tmp_path):
    path = tmp_path / "x"
    for raw, what in (
        (b"", "empty"),
        (b"hello world", "not a whole file"),
        (b"PK\x03\x04", "not a"),
    ):
        path.write_bytes(raw)
        with pytest.raises(BadCheckpoint, match=what):
            read_checkpoint(path)
    path.write_bytes(b"<!DOCTYPE html><title>Quota exceeded</title>")
    with pytest.raises(BadData, match="a web page"):
        read_checkpoint(path)
    with pytest.raises(BadCheckpoint, match="no such file"):
        read_checkpoint(tmp_path / "nothing")
    with pytest.raises(BadCheckpoint, match="unreadable"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "code",
    [b"}r\xff\xff\xff\x7f.", b"}p4000000000\n.", b"\x8d" + bytes([0] * 5 + [1, 0, 0]) + b"x.",
     b"\x8e" + bytes([0] * 5 + [1, 0, 0]) + b"x.", b"\x8b\xff\xff\xff\x7f\x01."],
)  # fmt: skip
def test_a_large_number_in_a_small_file_takes_no_memory(tmp_path, code):
    """Places of objects, and lengths of strings and numbers, which a file only claims to have."""
    path = tmp_path / "bomb"
    path.write_bytes(b"\x80\x04" + code)
    tracemalloc.start()
    try:
        with contextlib.suppress(BadCheckpoint):
            assert read_checkpoint(path) == {}
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_pickle_of_endless_names_is_refused(tmp_path):
    path = tmp_path / "names"
    path.write_bytes(b"(" + b"".join(b"ctorch.nn\nx%d\n" % n for n in range(20_000)) + b"l.")
    with pytest.raises(BadCheckpoint, match="classes and functions"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "code",
    [
        b"cargparse\nNamespace\n(dVname\nVother\nsb.",  # attributes for a class
        b"cargparse\nNamespace\n(N(dVname\nVother\nstb.",
        b"cargparse\nNamespace\nVname\nVother\ns.",  # an item for a class
        b"ccollections\nOrderedDict\n(N(dV__new__\nNstb.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(dV__defaults__\n(Nts(tb.",
        b"ctorch._utils\n_rebuild_parameter\n(NV__code__\nNstb.",
    ],
)
def test_no_pickle_changes_what_the_next_one_gets(tmp_path, code):
    path, good = tmp_path / "changes", tmp_path / "good"
    pickles = pickle.dumps([argparse.Namespace(a=1), OrderedDict(b=2)])
    good.write_bytes(pickles)
    path.write_bytes(code)
    with contextlib.suppress(BadCheckpoint):
        read_checkpoint(path)
    told, ordered = read_checkpoint(good)
    assert (told.name, told.attributes, ordered) == ("argparse.Namespace", {"a": 1}, {"b": 2})
    assert not vars(Inert).keys() & {"other", "__code__"}
    assert Inert.state is None


def test_a_tensor_keeps_what_the_file_says_of_it(tmp_path):
    """A pickle that gives attributes to a tensor, as if it were an object."""
    path = tmp_path / "x.pt"
    torch.save({"w": torch.arange(4.0)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    code = parts["x/data.pkl"]
    at = code.rindex(b"R") + 1  # behind the call that makes the tensor
    parts["x/data.pkl"] = code[:at] + b"}X\x05\x00\x00\x00shapeK\x09sb" + code[at:]
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in parts.items():
            archive.writestr(name, raw)
    saved = read_checkpoint(path)["w"]
    assert saved.shape == (4,)
    assert saved.read().tolist() == [0, 1, 2, 3]


READERS = {"checkpoint": read_checkpoint, "plain": read_pickle}


def guarded(how, paths):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (500 << 20),) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    for path in paths:
        if path.name == "accepted":
            READERS[how](path)
            continue
        with pytest.raises((BadCheckpoint, BadData)) as refused:
            READERS[how](path)
        assert "MemoryError" not in str(refused.value), path
        assert len(str(refused.value)) < 1000, path


def read_guarded(how, folder, pickles):
    """Read pickles in a process that may take half a GB more and a minute; all are refused but
    the one named "accepted"."""
    for name, code in pickles.items():
        (folder / name).write_bytes(code)
    done = forked(lambda: guarded(how, [folder / name for name in pickles]))
    assert done.returncode == 0, done.stderr[-2000:]


def doubled(times, share=b"q\x01h\x01h\x01\x86"):
    """A tuple of which each level holds the one below several times."""
    return b")" + share * times


BOMB = doubled(40)
DEEP = b")" + b"\x85" * 300_000
SHORT, LATIN = b"\x8c\x07storage", b"\x8c\x06latin1"


def test_what_a_pickle_holds_is_never_written_out(tmp_path):
    """An error that named it would take all memory."""
    key, cpu = b"\x8c\x010", b"\x8c\x03cpu"
    kind = b"ctorch\nFloatStorage\n"
    several = {
        "coding": b"c_codecs\nencode\n\x8c\x01a" + BOMB + b"\x86R.",
        "text": b"c_codecs\nencode\n" + BOMB + LATIN + b"\x86R.",
        "what": b"(" + BOMB + kind + key + cpu + b"K\x04NtQ.",
        "kind": b"(" + SHORT + BOMB + key + cpu + b"K\x04NtQ.",
        "key": b"(" + SHORT + kind + BOMB + cpu + b"K\x04NtQ.",
        "place": b"(" + SHORT + kind + key + BOMB + b"K\x04NtQ.",
        "numbers": b"(" + SHORT + kind + key + cpu + BOMB + b"NtQ.",
        "part": b"(" + SHORT + kind + key + cpu + b"G\x40\x10\0\0\0\0\0\0NtQ.",
        "id": BOMB + b"Q.",
        "whole": b"(" + BOMB + b"Q0.",
    }
    archives = {}
    for name, code in several.items():
        with zipfile.ZipFile(tmp_path / "x", "w") as archive:
            archive.writestr("x/data.pkl", b"\x80\x04" + code)
            archive.writestr("x/data/0", bytes(16))
        archives[f"{name}.zip"] = (tmp_path / "x").read_bytes()
    read_guarded("checkpoint", tmp_path, several | archives)


LARGE_OR_NESTED = {
    "shared": BOMB,
    "deep": DEEP,
    "memoized": doubled(40, b"\x94h\x00h\x00\x86").replace(b"h\x00", b"h\x01"),
    "wide": doubled(3, b"q\x01(" + b"h\x01" * 1000 + b"t"),  # few levels, each of them wide
    "dup": b")" + b"2\x86" * 40,  # DUP, which no program writes
}


@pytest.mark.parametrize("how", ["checkpoint", "plain"])
def test_no_key_is_hashed_that_is_large_or_nested(tmp_path, how):
    pickles = {}
    for kind, tuples in LARGE_OR_NESTED.items():
        several = {
            "item": b"}" + tuples + b"Ns.",
            "items": b"}(" + tuples + b"Nu.",
            "empty": b"(d" + tuples + b"Ns.",
            "dict": b"(" + tuples + b"Nd.",
            "set": b"\x8f(" + tuples + b"\x90.",
            "frozen": b"(" + tuples + b"\x91.",
        }
        called = {
            "ordered": b"ccollections\nOrderedDict\n]" + tuples + b"N\x86a\x85R.",
            "call": b"cbuiltins\ndict\n]" + tuples + b"N\x86a\x85R.",
            "sets": b"cbuiltins\nset\n]" + tuples + b"a\x85R.",
            "frozensets": b"cbuiltins\nfrozenset\n]" + tuples + b"a\x85R.",
            "state": b"cbuiltins\nset\n)R]" + tuples + b"ab.",
            "storage": b"]" + tuples + b"aQ.",
        }
        codes = several | called if how == "checkpoint" else several
        pickles |= {f"{kind}-{name}": b"\x80\x04" + code for name, code in codes.items()}
    read_guarded(how, tmp_path, pickles)


def test_numbers_of_which_many_have_one_hash_are_no_keys(tmp_path):
    large = b"\x8a\x09" + (2**61 - 1 << 8).to_bytes(9, "little")
    several = {"item": b"}" + large + b"Ns.", "tuple": b"}" + large + b"\x85Ns."}
    pickles = {name: b"\x80\x04" + code for name, code in several.items()}
    read_guarded("checkpoint", tmp_path, pickles)


def test_copies_of_values_are_counted(tmp_path):
    large = b"(" + b"N" * 20_000 + b"l\x94"
    several = {
        name.decode(): b"\x80\x04" + large + b"0cbuiltins\n" + name + b"\n\x940("
        + b"h\x01h\x00\x85R" * 10_000 + b"l."
        for name in (b"tuple", b"list")
    }  # fmt: skip
    several["set"] = several["tuple"].replace(b"tuple", b"set")
    several["size"] = several["tuple"].replace(b"builtins\ntuple", b"torch\nSize")
    text = b"X" + (20_000).to_bytes(4, "little") + b"a" * 20_000 + b"\x94"
    calls = b"0c_codecs\nencode\n\x940(" + (b"h\x01h\x00" + LATIN + b"\x86R") * 10_000 + b"l."
    several["bytes"] = b"\x80\x04" + text + calls
    several["accepted"] = b"\x80\x04" + large + b"0cbuiltins\ntuple\n\x94h\x00\x85R."
    read_guarded("checkpoint", tmp_path, several)


def test_places_of_objects_are_as_few_as_the_objects(tmp_path):
    """However long the file is, or the text in it."""
    put = b"r" + (50_000_000).to_bytes(4, "little")
    size = 60_000_000
    behind = b"\x80\x02]" + put + b"." + bytes(size)
    text = b"\x80\x02X" + size.to_bytes(4, "little") + b"a" * size + put + b"."
    small = b"\x80\x02]r\x00\x00\xff\x00." + bytes(size)
    lines = b"S'" + b"a" * size + b"'\n" + b"p50000000\n."
    for code in (behind, text, small, lines):
        path = tmp_path / "x"
        path.write_bytes(code)
        with pytest.raises(BadCheckpoint, match="it does not have"):
            read_checkpoint(path)
