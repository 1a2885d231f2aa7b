"""JSON files read entry by entry: the same as read at once, in less memory."""

import gc
import json
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from saccade.core.errors import BadData
from saccade.data import reading as long_json
from saccade.data.reading import collector_paused, read_entries, read_json
from saccade.datasets.catalogue import read_source
from tests.source_samples import SAMPLES, save

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
documents = st.lists(values) | st.dictionaries(st.text(max_size=5), values)


def put(base, text, piece, monkeypatch):
    monkeypatch.setattr(long_json, "PIECE", piece)
    path = base / "any.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return path


def told(read, *words):
    """What a reader makes of a file: its document, or its message."""
    try:
        return read(*words)
    except BadData as error:
        return str(error)


def at_once(path, top):
    document = read_json(path, top)
    return list(document.items()) if top is dict else list(enumerate(document))


@settings(max_examples=150)
@given(
    document=documents, piece=st.integers(1, 40), indent=st.sampled_from([None, 0, 3]),
    ascii_only=st.booleans(), keep=st.just(1.0) | st.floats(0, 1),
    more=st.sampled_from(["", " \n", "]", "1"]),
)  # fmt: skip
def test_any_document_whole_or_cut_is_what_it_is_at_once(
    tmp_path_factory, document, piece, indent, ascii_only, keep, more
):
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    text = text[: int(len(text) * keep)] + more
    with pytest.MonkeyPatch.context() as patched:
        path = put(tmp_path_factory.getbasetemp(), text, piece, patched)
        for top in (dict, list):
            assert told(lambda: list(read_entries(path, top))) == told(at_once, path, top)  # noqa: B023


@settings(max_examples=150)
@example(data=b"[" * 100_000)
@example(data=b'{"a": 1,}')
@example(data=b"[1, NaN]")
@example(data=b"\xef\xbb\xbf[12]")
@example(data=b"[1,\xff2]")
@example(data=b'{"a" 1}')
@example(data=b"{1: 2}")
@example(data=b"")
@given(data=st.text(' []{}:,"ab1\\n.', max_size=25).map(str.encode) | st.binary(max_size=30))
def test_any_bytes_are_what_they_are_at_once(tmp_path_factory, data):
    with pytest.MonkeyPatch.context() as patched:
        path = put(tmp_path_factory.getbasetemp(), data, 3, patched)
        found = told(lambda: dict(read_entries(path, dict)))
        assert found == told(lambda: dict(at_once(path, dict)))
        found = told(lambda: list(read_entries(path, list)))
        assert found == told(at_once, path, list)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BadData, match="no such file"):
        list(read_entries(tmp_path / "none.json", dict))


def test_entries_before_a_bad_place_are_handed_out(tmp_path, monkeypatch):
    path = put(tmp_path, "[1, 2, oh]" + " " * 50, 4, monkeypatch)
    entries = read_entries(path, list)
    assert [next(entries), next(entries)] == [(0, 1), (1, 2)]
    with pytest.raises(BadData, match="is not JSON"):
        next(entries)


def test_a_key_that_stands_twice_is_seen_twice(tmp_path, monkeypatch):
    path = put(tmp_path, '{"1": "a", "1": "b"}', 6, monkeypatch)
    assert list(read_entries(path, dict)) == [("1", "a"), ("1", "b")]


def most_memory(read):
    """Bytes that were taken at once, and the result."""
    read()  # modules are imported
    tracemalloc.start()
    try:
        result = read()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


def test_what_gqa_does_not_need_is_never_held(tmp_path):
    SAMPLES["gqa"](tmp_path)
    path = tmp_path / "questions/train_balanced_questions.json"
    record = json.loads(path.read_text())["0293010"]
    record["semantic"] = [{"operation": "select", "argument": f"car ({n})"} for n in range(200)]
    save(path, {f"{n:08}": record | {"answer": f"a{n % 9}"} for n in range(3000)})
    most, collection = most_memory(lambda: read_source("gqa", tmp_path))
    assert len(collection.questions) == 3006
    assert len({id(q.answers) for q in collection.questions}) < 12
    assert most < path.stat().st_size  # the text alone, decoded, would be twice that


def test_what_visual_genome_does_not_need_is_never_held(tmp_path):
    SAMPLES["visual-genome"](tmp_path)
    path = tmp_path / "question_answers.json"
    things = [{"names": ["clock"], "h": 4, "object_id": n} for n in range(100)]
    question = json.loads(path.read_text())[0]["qas"][0] | {"image_id": 1, "a_objects": things}
    pairs = ((2 * n, 2 * n + 1) for n in range(800))
    records = [{"id": 1, "qas": [question | {"qa_id": n} for n in pair]} for pair in pairs]
    save(path, records)
    most, collection = most_memory(lambda: read_source("visual-genome", tmp_path))
    assert len(collection.questions) == 1600
    assert most < path.stat().st_size


class TestCollector:
    def test_it_rests_while_a_file_is_parsed_and_is_what_it_was(self, tmp_path):
        path = save(tmp_path / "one.json", {"a": {}})
        seen = []

        def encode(record):
            seen.append(gc.isenabled())
            return record

        assert gc.isenabled()
        read_json(path, dict, object_hook=encode)
        assert seen == [False, False]
        assert gc.isenabled()
        path.write_text('{"a": {}, oh}')
        with pytest.raises(BadData):
            read_json(path, dict, object_hook=encode)
        assert gc.isenabled()

    def test_one_pause_in_another_ends_with_the_outer_one(self):
        with collector_paused():
            with collector_paused():
                pass
            assert not gc.isenabled()
        assert gc.isenabled()

    def test_who_had_switched_it_off_finds_it_off(self):
        gc.disable()
        try:
            with collector_paused():
                pass
            assert not gc.isenabled()
        finally:
            gc.enable()
