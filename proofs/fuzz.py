"""Damaged files: every kind of file that saccade reads, changed at random, gives only its errors.

python -m proofs fuzz                    a short round of each reader, as a proof
python -m proofs.fuzz COUNT [NAME...]    COUNT inputs for each reader, or for those named

Equal seeds give equal inputs. Each reader runs in a fork of its own: libraries written in C may
end a process, which is told and no defect of this program. An input is no defect if it is read or
refused by a `SaccadeError`; anything else that is raised is, and so is more than 5 seconds.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import SaccadeError

SECONDS, BYTES = 5.0, 2 * 2**30
"""What an input may cost."""
AS_PROOF = 150
"""Inputs for each reader in a proof."""
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, -(2**70), 1.5, 1e308, float("nan")),
    *(float("inf"), "", " ", "x", "0", "-1", "a,b", "../../x", "/", "a\x00b", "\x1b[31m", "\ud83d"),
    *("é", "\u202e", "9" * 5000, "x" * 70000, [], {}, [[]], [{}], [None], {"": None}, {"a": [1]}),
    *([1, 2, 3], ["x", "x"], {"0": 0}, [[[[[[[[]]]]]]]]),
)
"""What stands in the place of a value of JSON."""
BITS = (
    *(b"", b"\x00", b"\xff", b"\n", b",", b'"', b"'", b"{", b"[", b"]", b"}", b":", b"\t", b"\r"),
    *(b"\x00" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 4, b"\x80\x00\x00\x00", b"NaN"),
    *(
        b"-1",
        b"0",
        b"1e999",
        b"Infinity",
        b"null",
        b"true",
        b'"\\ud83d"',
        b"\xed\xa0\xbd",
        b"[" * 5000,
    ),
    *(
        b"9" * 5000,
        b"\xef\xbb\xbf",
        b"PK\x03\x04",
        b"\x89HDF",
        b"\x93NUMPY",
        b"\x1f\x8b",
        b"\x80\x04",
    ),
    *(b"<f8", b"|O", b"|V8", b"<U9", b"(1,)", b"1000000000", b"2147483648", b"\x1b[31m"),
)
"""What is put into a file of bytes."""


class Reader(NamedTuple):
    """A kind of files: makes good ones, and reads what has become of them."""

    make: Callable[[Path], object]
    read: Callable[[Path], object]


class TooSlow(Exception):
    """An input took more than SECONDS."""


def changed_bytes(data: bytes, draw: random.Random) -> bytes:
    """Some bytes of a file are others, more, fewer, or in another place."""
    content = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        size = len(content)
        # Headers are short, and everything hangs on them.
        at = draw.randrange(size + 1) if draw.random() < 0.6 else draw.randrange(min(size, 200) + 1)
        length = draw.choice((1, 1, 2, 4, 8, 64, max(size // 3, 1)))
        how = draw.randrange(6)
        if how == 0 and at < size:
            content[at] ^= 1 << draw.randrange(8)
        elif how == 1:
            content[at : at + length] = draw.choice(BITS)
        elif how == 2:
            content[at:at] = draw.choice(BITS)
        elif how == 3:
            del content[at : at + length]
        elif how == 4:
            content[at:at] = content[at : at + length]
        else:
            del content[at:]
    return bytes(content)


def changed_json(value: Any, draw: random.Random) -> Any:
    """One value of a JSON document is another, or one more, or gone; in place."""
    place: Any = value
    parent: Any = None
    key: Any = None
    while isinstance(place, dict | list) and place and (key is None or draw.random() < 0.75):
        parent = place
        key = draw.choice([*place]) if isinstance(place, dict) else draw.randrange(len(place))
        place = parent[key]
    if key is None or draw.random() < 0.02:
        return draw.choice(VALUES)
    how = draw.randrange(6)
    if how == 0:
        del parent[key]
    elif how == 1 and isinstance(parent, list):
        parent.insert(key, draw.choice([*parent, *VALUES]))
    elif how == 1:
        parent[draw.choice(("", "x", "id", "format", "\ud83d", "0"))] = draw.choice(VALUES)
    else:
        parent[key] = draw.choice(VALUES)
    return value


def change(file: Path, draw: random.Random) -> None:
    """Write a changed copy in the place of a file."""
    data = file.read_bytes()
    if file.suffix in (".json", ".jsonl", ".txt", "") and draw.random() < 0.6:
        with suppress(ValueError, RecursionError):
            document = changed_json(json.loads(data), draw)
            text = json.dumps(document, ensure_ascii=draw.random() < 0.5)
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
            return
    file.write_bytes(changed_bytes(data, draw))


def where(error: BaseException) -> str:
    """The class of an error and the innermost line of this package that it went through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if f"{os.sep}saccade{os.sep}" in one.filename]
    place = f"{Path(own[-1].filename).name}:{own[-1].name}" if own else "outside"
    return f"{type(error).__name__} at {place}"


@contextmanager
def bounded() -> Iterator[None]:
    """At most SECONDS and BYTES for what is inside."""

    def ring(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _round(reader: Reader, name: str, start: int, count: int, work: Path, tell: int) -> None:
    """Read inputs of a reader, in a process of its own; every defect is a line to `tell`."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    warnings.simplefilter("ignore")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    good = work / "good"
    files = sorted(path for path in good.rglob("*") if path.is_file())
    for number in range(start, start + count):
        draw = random.Random(f"{name} {number}")
        shutil.rmtree(work / "bad", ignore_errors=True)
        shutil.copytree(good, work / "bad")
        for _ in range(draw.choice((1, 1, 1, 2))):
            change(work / "bad" / draw.choice(files).relative_to(good), draw)
        os.write(tell, b"%d\n" % number)
        try:
            with bounded():
                reader.read(work / "bad")
        except SaccadeError as error:
            if "\n" in str(error).strip():
                os.write(tell, f"{number} a refusal of several lines\n".encode())
        except BaseException as error:
            os.write(tell, f"{number} {where(error)}: {str(error)[:100]!a}\n".encode())


def fuzz(name: str, reader: Reader, count: int) -> tuple[Counter[str], dict[str, str]]:
    """How often each kind of defect came, and the number and message of the first of each."""
    kinds: Counter[str] = Counter()
    first: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        work, done = Path(folder), 0
        (work / "good").mkdir()
        reader.make(work / "good")
        reader.read(work / "good")
        while done < count:
            back, tell = os.pipe()
            if not (child := os.fork()):
                with suppress(BaseException):
                    os.close(back)
                    _round(reader, name, done, count - done, work, tell)
                os._exit(0)
            os.close(tell)
            with open(back, encoding="ascii", errors="replace") as lines:
                for line in lines:
                    number, _, told = line.strip().partition(" ")
                    done = int(number) + 1
                    if told:
                        kind, _, message = told.partition(": ")
                        kinds[kind] += 1
                        first.setdefault(kind, f"input {number}: {message}")
            _, status = os.waitpid(child, 0)
            if os.WIFSIGNALED(status):
                kind = f"another program's library: signal {os.WTERMSIG(status)}"
                kinds[kind] += 1
                first.setdefault(kind, f"input {done - 1}")
    return kinds, first


def sources() -> dict[str, Reader]:
    """The layouts of data sets."""
    from saccade.data.checks import check
    from saccade.datasets.catalogue import read_source
    from tests.source_samples import SAMPLES

    def reader(name: str) -> Reader:
        return Reader(SAMPLES[name], lambda root: check(read_source(name, root)))

    return {f"source {name}": reader(name) for name in SAMPLES}


def folders() -> dict[str, Reader]:  # noqa: PLR0915  a reader for each
    """Folders that saccade writes: data, store, run and its scores, parts."""
    import saccade
    from saccade.comparison.runs import read_groups
    from saccade.data.folder import DataFolder
    from saccade.experiment import assemble_for_run
    from saccade.features.store import FeatureStore, describe_store, verify_store
    from saccade.inference.model import load_model
    from saccade.run_folder import open_run
    from saccade.training.saving import saved_state
    from saccade.transfer.pack import pack
    from saccade.transfer.unpack import unpack
    from tests.worlds import make_world

    made = Path(tempfile.mkdtemp())
    world = make_world(made / "data")
    few = ["train.epochs=1", "train.batch_size=100", "model.hidden=8"]
    recipe = "show-ask-attend-answer-small"
    saccade.train(recipe, world.path, made / "run", changes=few, device="cpu")
    saccade.evaluate(made / "run", split="val", device="cpu")
    cells = world.store_path("cells")

    def read_data(root: Path) -> None:
        folder = DataFolder(root / "data")
        folder.images()
        for split in ("train", "val"):
            folder.questions(split)
            folder.captions(split)
        folder.answer_counts()
        folder.word_counts("show_ask_attend_answer", "questions")
        folder.word_counts("karpathy", "captions")

    def read_store(root: Path) -> None:
        verify_store(root / "cells")
        describe_store(root / "cells")
        store = FeatureStore.open(root / "cells")
        store.read(store.rows(store.ids[:2]))
        _ = store.skipped

    def read_run(root: Path) -> None:
        opened = open_run(root / "run")
        load_model(opened)
        assemble_for_run(opened, world, None)
        saved_state(root / "run")
        read_groups({"run": root / "run"}, "val")

    def read_parts(root: Path) -> None:
        shutil.rmtree(root.with_name("unpacked"), ignore_errors=True)
        unpack(root / "parts", root.with_name("unpacked"))

    def without_store(root: Path) -> None:
        shutil.copytree(made / "data", root / "data")
        shutil.rmtree(root / "data" / "features")

    return {
        "folder data folder": Reader(without_store, read_data),
        "folder store": Reader(lambda root: shutil.copytree(cells, root / "cells"), read_store),
        "folder run": Reader(lambda root: shutil.copytree(made / "run", root / "run"), read_run),
        "folder parts": Reader(
            lambda root: pack(made / "run", root / "parts", part_size=10_000, images=False),
            read_parts,
        ),
    }


def feature_files() -> dict[str, Reader]:
    """Feature files of other programs."""
    from saccade.interop.import_features import import_features
    from tests.test_feature_files import ENTRIES, data_folder

    folder = data_folder(Path(tempfile.mkdtemp()))

    def reader(entry: Any) -> Reader:
        given: list[Path] = []

        def make(root: Path) -> None:
            given.append(entry.write(root / "files").relative_to(root))

        def read(root: Path) -> None:
            shutil.rmtree(folder.store_path("fuzz"), ignore_errors=True)
            options: dict[str, Any] = {"name": "fuzz", "image_root": folder.image_root}
            import_features(entry.kind, root / given[0], folder.path, **options)

        return Reader(make, read)

    return {f"features {one.kind}, {one.made}": reader(one) for one in ENTRIES}


def checkpoints() -> dict[str, Reader]:
    """Checkpoints of other programs, up to their weights."""
    from saccade.interop.checkpoint_mapping import Bundle
    from saccade.interop.import_checkpoint import KINDS
    from saccade.interop.torch_files import Saved, read_checkpoint, tensors_of
    from tests import import_samples

    samples: Any = import_samples
    classes = {name for one in KINDS.values() for name in one.classes}

    def reader(kind: str, make: Callable[[Path], Any]) -> Reader:
        given: list[Path] = []

        def write(root: Path) -> None:
            given.append(make(root)[0].relative_to(root))

        def read(root: Path) -> None:
            path = root / given[0]
            bundle = Bundle(path, read_checkpoint(path, classes), None, None)
            for tensor in (tensors_of(bundle.value) or {}).values():
                if isinstance(tensor, Saved):
                    tensor.read()
            reading = KINDS[kind].read(bundle)
            for tensor in reading.tensors.values():
                tensor.read()

        return Reader(write, read)

    return {
        "checkpoint pytorch-vqa": reader("pytorch-vqa", samples.pytorch_vqa),
        "checkpoint pytorch-vqa, zip": reader(
            "pytorch-vqa", lambda root: samples.pytorch_vqa(root, new=True)
        ),
        "checkpoint hengyuan-hu": reader("hengyuan-hu", samples.hengyuan_hu),
    }


def single_files() -> dict[str, Reader]:
    """Predictions, tables to predict for, images, word vectors, pickles, recipes."""
    import pickle
    from io import BytesIO

    from PIL import Image

    from saccade.config import change as change_recipe
    from saccade.core.run_files import read_json_of_run
    from saccade.datasets.plain_pickle import read_pickle
    from saccade.features.images import read_image
    from saccade.inference.prediction_inputs import read_inputs
    from saccade.interop.prediction_files import read_predictions
    from saccade.recipes.catalogue import RECIPES
    from saccade.recipes.load import load_recipe
    from saccade.text.vocabulary import Words, caption_vocabulary
    from saccade.training.word_vectors import read_word_vectors

    counts = dict.fromkeys(("a", "dog", "runs"), 9)
    vocabulary = caption_vocabulary(counts)
    rows = [{"question_id": 5, "answer": "dog"}, {"question_id": 7, "answer": "a cat"}]
    csv = 'question_id,answer\n5,dog\n7,"a, cat"\n'
    table = 'image,question\na.png,What is it?\nb.png,"Is it, a cat?"\n'
    vectors = "".join(f"{word} {' '.join(['0.5'] * 6)}\n" for word in counts)
    binary = b"3 6\n" + b"".join(word.encode() + b" " + b"\0\0\0?" * 6 for word in counts)
    plain = [{"image": "a.png", "question": "what?", "answer": 5}, {"a": [1, None, 2.5]}]

    def file(name: str, content: bytes | str, read: Callable[[Path], object]) -> Reader:
        data = content.encode() if isinstance(content, str) else content
        return Reader(lambda root: (root / name).write_bytes(data), lambda root: read(root / name))

    def image(kind: str, mode: str = "RGB") -> bytes:
        stream = BytesIO()
        Image.effect_noise((40, 30), 80).convert(mode).save(stream, kind)
        return stream.getvalue()

    def vectors_in(path: Path) -> None:
        read_word_vectors(path, vocabulary, 6)

    def setting(path: Path) -> None:
        text = path.read_text("utf-8", "surrogateescape")
        change_recipe(RECIPES["show-attend-tell-small"], *text.splitlines())

    def predictions(name: str, content: bytes | str) -> Reader:
        return file(name, content, read_predictions)

    settings = (
        "train.seed=5\ntrain.optimiser.learning_rate=1e-3\nmodel.hidden=9\ndecode.beam_size=3\n"
    )

    def inputs(path: Path) -> None:
        read_inputs([path], asks_question=True, image_root=Path())

    recipe = RECIPES["show-attend-tell-small"].model_dump_json()
    return {
        "file predictions json": predictions("x.json", json.dumps(rows)),
        "file predictions jsonl": predictions("x.jsonl", "\n".join(map(json.dumps, rows))),
        "file predictions csv": predictions("x.csv", csv),
        "file predictions tsv": predictions("x.tsv", csv.replace(",", "\t")),
        "file predictions mapping": predictions("x.json", json.dumps({"5": "dog", "7": "cat"})),
        "file inputs csv": file("x.csv", table, inputs),
        "file inputs json": file(
            "x.json",
            json.dumps([{"image": "a.png", "question": "what?"}]),
            inputs,
        ),
        **{
            f"file image {kind} {mode}": file("x", image(kind, mode), read_image)
            for kind, mode in (("PNG", "RGB"), ("JPEG", "RGB"), ("PNG", "I;16"), ("GIF", "P"))
        },
        "file word vectors": file("x.txt", vectors, vectors_in),
        "file word vectors, binary": file("x.bin", binary, vectors_in),
        "file pickle of plain values": file("x.pkl", pickle.dumps(plain), read_pickle),
        "file recipe json": file("x.json", recipe, load_recipe),
        "file recipe toml": file(
            "x.toml", 'base = "show-attend-tell"\ntrain.epochs = 3\n', load_recipe
        ),
        "file settings": file("x.txt", settings, setting),
        "file words": file(
            "file words.json",
            json.dumps(Words(vocabulary).to_json()),
            lambda path: Words.from_json(read_json_of_run(path), path),
        ),
    }


GROUPS = {
    "source": sources,
    "folder": folders,
    "features": feature_files,
    "checkpoint": checkpoints,
    "file": single_files,
}
"""Readers by the first word of their names."""


def run(count: int, names: list[str]) -> list[str]:
    """Fuzz readers and print what came; returns a line for each kind of defect."""
    problems: list[str] = []
    total, begin = 0, time.monotonic()
    wanted = [group for group in GROUPS if not names or any(n.startswith(group) for n in names)]
    readers = {name: one for group in wanted for name, one in GROUPS[group]().items()}
    for name, reader in readers.items():
        if names and not any(name.startswith(one) for one in names):
            continue
        kinds, first = fuzz(name, reader, count)
        total += count
        for kind, times in kinds.items():
            print(f"  {name}: {times} x {kind} ({first[kind]})", flush=True)
            if not kind.startswith("another program"):
                problems.append(f"{kind} in {name} ({first[kind]})")
    different = {problem.partition(" in ")[0] for problem in problems}
    seconds = time.monotonic() - begin
    print(f"  {total:,} inputs, {len(different)} kinds of defects, {seconds:.0f} s")
    return problems


def prove() -> list[str]:
    """Defects, a line each."""
    return run(AS_PROOF, [])


if __name__ == "__main__":
    sys.exit(bool(run(int(sys.argv[1]), sys.argv[2:])))
