"""Files of `torch.save`, or of `pickle` alone, read without running anything in them.

Three layouts: the zip archive of torch 1.6 and later, the stream of pickles and raw numbers of
earlier ones, and a pickle alone. Tensors stay on disk until somebody asks for their numbers, so an
optimiser's state, twice as large as the weights, costs nothing.
"""

import codecs
import gc
import io
import math
import mmap
import pickle
import pickletools
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import torch
from torch import Tensor

from saccade.core.errors import BadCheckpoint
from saccade.data.reading import refuse_stand_ins

DEFECTS = (
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError, EOFError, struct.error),
    *(OverflowError, RecursionError, MemoryError, pickle.UnpicklingError),
)
"""What damaged bytes may make a reader of any format raise."""
MAX_IN_A_KEY = 100
"""Values in a key of a dict, however nested; real keys have a pair of words."""
MAX_NAMES = 10_000
"""Different classes and functions of one pickle: each takes a thousand bytes here."""

_INERT = re.compile(
    r"torch\.(nn|optim|autograd|backends|utils\.hooks|cuda|_C)\..+"
    r"|torch\.(device|dtype|(b?float|double|half|u?int|long|short|bool|complex)\d*)"
    r"|torch\.(storage\._load_from_bytes|serialization\._get_layout|strided|contiguous_format)"
    r"|torch\.(\w+Storage|storage\.\w+Storage|\w*Tensor)"
    r"|(torchvision\.(models|transforms|ops)|transformers|tokenizers)\..+"
    r"|numpy(\._?core\.(multiarray|numeric)\.(scalar|_reconstruct|_frombuffer)|\.(ndarray|dtype))"
    r"|numpy\.(bool_?|(u?int|float)\d+)|argparse\.Namespace|functools\.partial"
    r"|(regex\.)?_regex(_core)?\.\w+|re\._compile|collections\.(defaultdict|Counter|deque)|datetime\.\w+|pathlib\.\w+"
    r"|builtins\.(object|slice|range|complex|bytearray|bool|int|float|str)"
)
"""Classes and functions that checkpoints name and that nothing here needs."""


class RefusedPickle(Exception):
    """A pickle asks for something that is not on the list; says what."""


class Inert:
    """Stand-in for a class or a function (a subclass of this), and for an object made by one.

    It keeps its name and an object's attributes, and does nothing else. The methods are what a
    pickle can call: without them it would write into the classes of this module.
    """

    name: str
    """Such as "models.DecoderWithAttention"."""
    dtype: torch.dtype | None = None
    """Of the numbers, where it stands for a kind of storage."""
    state: Any = None

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Forget what is put in by key."""

    def _ignore(self, values: Any) -> None:
        """Forget what is put in."""

    append = extend = add = _ignore

    @property
    def attributes(self) -> dict[str, Any]:
        """The object's attributes; none where its state is no dict."""
        return self.state if isinstance(self.state, dict) else {}


def _key(value: Any) -> Any:
    """A value that may be hashed and compared: tuples in it are neither large nor deeply nested.

    Python hashes what a tuple holds as often as it stands there, and without a limit of depth.
    """
    waiting, count = [value], 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple | frozenset):
            count += len(one)
            if count > MAX_IN_A_KEY:
                raise ValueError("a key of many values")
            waiting += one
        elif isinstance(one, int) and abs(one) >= sys.hash_info.modulus:
            raise ValueError("a key is too large a number")  # many of the same hash take all time
    return value


def _emptied(values: Any) -> list[Any]:
    """What a list held, each a key; taken out, so that it cannot be copied again and again."""
    if type(values) is not list:
        raise ValueError("members of a set that are no list")
    taken = [_key(value) for value in values]
    values.clear()
    return taken


class _Dict(dict[Any, Any]):
    """A dict whose attributes, such as the `_metadata` of a state dict, are forgotten."""

    __slots__ = ()

    def __init__(self, pairs: Any = ()) -> None:
        for key, value in pairs.items() if isinstance(pairs, dict) else pairs:
            self[key] = value

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key if type(key) is str else _key(key), value)

    def __setstate__(self, state: Any) -> None:
        """Forget it."""


class _Set(set[Any]):
    """A set that is filled by a list as its state; see `_GUARDED`."""

    __slots__ = ()

    def __setstate__(self, values: Any) -> None:
        """Add the values of a list, which is empty then."""
        self.update(_emptied(values))


def _encoded(text: Any, coding: Any) -> bytes:
    if type(text) is not str or type(coding) is not str or coding not in ("latin1", "latin-1"):
        raise ValueError("bytes written in another way than Latin-1")
    return text.encode("latin-1")


def _first(data: Any = None, *_: Any) -> Any:
    return data


def _rebuilt(build: Any, _kind: Any, args: Any, _state: Any) -> Any:
    """A tensor with attributes, which are left out."""
    tensor = build(*args)
    if not isinstance(tensor, Saved):
        raise ValueError("a tensor that is not made of numbers")
    return tensor


def _tensor(storage: Any, offset: int, shape: Any, stride: Any, *_: Any) -> "Saved":
    """A view of a storage, which must lie within it."""
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or len(shape) > 64:
        raise ValueError("a tensor without a storage, or of impossible shape")
    if not shape and type(offset) is int and 0 <= offset < storage.numbers:  # hundreds of them
        return Saved(storage, offset, (), ())  # of thousands in files that keep every prediction
    if not isinstance(stride, tuple) or len(shape) != len(stride):
        raise ValueError("a tensor of impossible shape")
    if not all(isinstance(n, int) and 0 <= n < 1 << 63 for n in (offset, *shape, *stride)):
        raise ValueError("a tensor of impossible shape")
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if math.prod(shape) > storage.numbers or (math.prod(shape) and last >= storage.numbers):
        raise ValueError("a tensor that is larger than its storage")
    return Saved(storage, offset, tuple(shape), tuple(stride))


_COPIES: dict[str, Callable[..., Any]] = {
    **{name: _Dict for name in ("collections.OrderedDict", "builtins.dict")},
    **{name: tuple for name in ("torch.Size", "builtins.tuple")},
    "_codecs.encode": _encoded,
    "builtins.list": list,
    "builtins.set": lambda values=(): _Set(map(_key, values)),
    "builtins.frozenset": lambda values=(): frozenset(map(_key, values)),
}
"""The names of which a call copies the values of its first argument."""
_BUILT: dict[str, Callable[..., Any]] = {
    **_COPIES,
    "copyreg._reconstructor": lambda kind, _base=None, state=None: kind(state),
    "copyreg.__newobj__": lambda kind, *args: kind(*args),
    "builtins.bytes": lambda: b"",
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _rebuilt,
    "torch.nn.parameter.Parameter": _first,
    "torch.nn.parameter.Buffer": _first,
    "torch.autograd.variable.Variable": _first,
}
"""The names of which a call builds something: a container, or a tensor that is not read yet."""
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("saccade.latin-1", _as_latin_1)


class _InertUnpickler(pickle.Unpickler):
    """Unpickler for which every class and function is a stand-in that does nothing.

    `classes` are names of classes that stand in any module, such as the checkpoint's own models;
    `storage` makes something of a persistent id, torch's way to say where a tensor's numbers are.
    Strings of Python 2 are UTF-8 where they can be, else Latin-1. Calls may copy as many values as
    the pickle has bytes, all together: `tuple(large)` takes a few bytes wherever it stands.
    """

    def __init__(
        self, code: bytes, classes: Collection[str], storage: Callable[[Any], Any]
    ) -> None:
        stream = cast(BinaryIO, io.BufferedReader(io.BytesIO(code)))
        super().__init__(stream, encoding="utf-8", errors="saccade.latin-1")
        self.classes, self.storage, self.copies_left = classes, storage, len(code)
        self.stand_ins: dict[str, type[Inert]] = {}

    def find_class(self, module: str, name: str) -> type[Inert]:
        """The stand-in of a name; nothing is imported.

        A class of its own for every reading, so that no pickle can change what the next one gets.
        Raises RefusedPickle for a name that is not on the list.
        """
        whole = f"{_PYTHON_2.get(module, module)}.{name}"
        if whole not in self.stand_ins:
            build = _BUILT.get(whole)
            if build is None and name not in self.classes and not _INERT.fullmatch(whole):
                raise RefusedPickle(f"{module[:100]}.{name[:100]}")
            if len(self.stand_ins) >= MAX_NAMES:
                raise RefusedPickle(f"more than {MAX_NAMES:,} classes and functions")
            numbers = whole.rpartition(".")[2].removesuffix("Storage")
            fields: dict[str, Any] = {"name": whole, "dtype": _DTYPES.get(numbers)}
            if whole in _COPIES:
                fields["__new__"] = lambda _cls, *args: self._copy(_COPIES[whole], *args)
            elif build is not None:
                fields["__new__"] = lambda _cls, *args: build(*args)
            self.stand_ins[whole] = type("Inert", (Inert,), fields)
        return self.stand_ins[whole]

    def _copy(self, build: Callable[..., Any], *args: Any) -> Any:
        self.copies_left -= len(args[0]) if args else 0
        if self.copies_left < 0:
            raise RefusedPickle("more copies of values than it has bytes")
        return build(*args)

    def persistent_load(self, pid: Any) -> Any:
        """The storage that an id names; a frozen set for a list, which is no id: `_GUARDED`."""
        return frozenset(_emptied(pid)) if type(pid) is list else self.storage(pid)


def _codes(*sizes: int) -> bytes:
    """The instructions whose arguments have such a size, as characters of a regular expression."""
    found = (o for o in pickletools.opcodes if (o.arg.n if o.arg else 0) in sizes)
    return b"[" + b"".join(re.escape(o.code.encode("latin-1")) for o in found) + b"]"


_GUARDED = {
    ord("}"): b"ccollections\nOrderedDict\n)R",
    0x8F: b"cbuiltins\nset\n)R",
    0x90: b"lb",  # items as a list, which is the set's state
    0x91: b"lQ",  # items as a list, for `persistent_load`
}
"""Instructions for dicts and sets, and others that do the same and look at every key before."""
# Looked at one by one: STOP, LONG_BINPUT, EXT, dicts and sets, and DUP, which no program writes.
_NO_REFUSAL = rb"(?!\(d|[.r2d}\x82-\x84\x8f-\x91])"
_PLAIN = b"|".join(
    _NO_REFUSAL + _codes(size) + b"." * size if size else _NO_REFUSAL + _codes(0)
    for size in (0, 1, 2, 4, 8)
)
_SIZED = {
    **{ord(o.code): 1 for o in pickletools.opcodes if o.arg and o.arg.n == -2},
    **{ord(o.code): 4 for o in pickletools.opcodes if o.arg and o.arg.n in (-3, -4)},
    **{ord(o.code): 8 for o in pickletools.opcodes if o.arg and o.arg.n == -5},
}
"""Instructions with data of any length: how many bytes say the length."""
_LINES = {
    ord(o.code): 2 if o.name in ("GLOBAL", "INST") else 1
    for o in pickletools.opcodes
    if o.arg and o.arg.n == -1
}
"""Instructions with text: how many lines."""


def _plain(numbers: int) -> re.Pattern[bytes]:
    """Instructions in a row that need no look; also LONG_BINPUT of fewer than such a number."""
    numbered = rb"r..[\x00-" + re.escape(bytes([min(numbers >> 16, 255)])) + rb"]\x00"
    return re.compile(rb"(?:" + numbered + b"|" + _PLAIN + rb")*+", re.DOTALL)


def _guarded(file: bytes | mmap.mmap, start: int) -> tuple[bytes, int]:
    """A pickle with the instructions of `_GUARDED` replaced, and where it ends in the file."""
    # Runs of instructions of known length are skipped at once, objects with small numbers too.
    known, parts, done, data = 1 << 16, [], start, 0
    plain, place, code = _plain(known - 1), start, 0
    while code != ord("."):
        place = cast(re.Match[bytes], plain.match(file, place)).end()
        code = file[place]  # IndexError, one of DEFECTS, where the pickle is cut
        place += 1
        number = 0
        if code == ord("(") and file[place : place + 1] == b"d":  # an empty dict
            parts += [file[done : place - 1], _GUARDED[ord("}")]]
            done = place = place + 1
        elif code in _GUARDED:
            parts += [file[done : place - 1], _GUARDED[code]]
            done = place
        elif code in _SIZED:
            size = _SIZED[code]
            length = int.from_bytes(file[place : place + size], "little")
            place += size + length
            data += length
        elif code in _LINES:
            begin = place
            for _ in range(_LINES[code]):
                place = file.find(b"\n", place) + 1
                if not place:
                    raise EOFError("it ends in the middle of a line")
            data += place - begin
            number = int(file[begin:place]) if code == ord("p") else 0
        elif code == ord("r"):
            number = int.from_bytes(file[place : place + 4], "little")
            place += 4
        elif code in b"\x82\x83\x84":  # numbers for classes which other packages registered
            raise RefusedPickle("the instruction EXT")
        elif code != ord("."):
            raise pickle.UnpicklingError(f"no instruction that programs write: {code}")
        seen = place - start - data
        if place > len(file) or number > max(seen, 1 << 16):
            raise EOFError("it ends too early, or numbers objects that it does not have")
        if seen >= 2 * known and known < 1 << 24:
            known = seen
            plain = _plain(known - (1 << 16))
    return b"".join([*parts, file[done:place]]), place


def unpickle(file: bytes | mmap.mmap, start: int, classes: Any, storage: Any) -> tuple[Any, int]:
    """What a pickle that begins at a byte holds, and where it ends; see `_InertUnpickler`.

    The unpickler written in C is twenty times as fast as the one in Python, but keeps as many
    places as the largest number that a pickle gives to an object, which may be four thousand
    million. So the numbers are looked at before: none is larger than the instructions before it
    are long. And it hashes any key, so dicts and sets are made in another way (`_GUARDED`).
    """
    code, place = _guarded(file, start)
    collects = gc.isenabled()
    gc.disable()  # it would look at every new object again and again, and find nothing
    try:
        return _InertUnpickler(code, classes, storage).load(), place
    finally:
        if collects:
            gc.enable()


MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of a file that an early torch wrote."""

_DTYPES: dict[str, torch.dtype] = {
    **{name: getattr(torch, name.lower()) for name in ("Double", "Float", "Half", "BFloat16")},
    **{name: getattr(torch, name.lower()) for name in ("Long", "Int", "Short", "Bool")},
    **{"Char": torch.int8, "Byte": torch.uint8},
}
COPY_AGAIN = "Copy the file again from where it came."


@dataclass(eq=False)
class Storage:
    """Numbers in a file, in a row."""

    file: mmap.mmap
    dtype: torch.dtype
    numbers: int
    start: int | None = None
    """Byte of the file at which they begin; unknown until the end of an early file is read."""
    crc32: int = 0
    """Of the bytes; 0 where the file does not say."""

    def __setstate__(self, state: Any) -> None:
        """Keep what the file says, whatever a pickle says later."""


class Saved(NamedTuple):
    """A tensor that a file holds, not read yet."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __setstate__(self, state: Any) -> None:
        """Forget the attributes of a tensor."""

    def read(self) -> Tensor:
        """The tensor, on the CPU, with memory of its own. Raises BadCheckpoint."""
        file, dtype, start = self.storage.file, self.storage.dtype, self.storage.start
        size = self.storage.numbers * dtype.itemsize
        if start is None or not 0 <= start <= len(file) - size:
            raise BadCheckpoint("a tensor's numbers are missing", hint=COPY_AGAIN)
        raw = bytearray(file[start : start + size])
        if self.storage.crc32 and zlib.crc32(raw) != self.storage.crc32:
            message = "a tensor's numbers have changed since they were written"
            raise BadCheckpoint(message, hint=COPY_AGAIN)
        whole = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        return whole.as_strided(self.shape, self.stride, self.offset).clone()


def read_checkpoint(path: Path, classes: Collection[str] = ()) -> Any:
    """Content of a file: containers, numbers and text as they are, tensors as `Saved`, and objects
    as `Inert`. `classes` names the checkpoint's own classes, which stand in any module.

    Raises BadCheckpoint for a file that is missing, damaged, no pickle, or whose pickle names
    anything that is on no list, such as `os.system`; that is neither imported nor run. Raises
    BadData for a web page or a pointer of Git LFS in its place.
    """
    try:
        with path.open("rb") as stream:
            file = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise BadCheckpoint("no such file", location=path, hint="Check the name.") from None
    except ValueError:
        raise BadCheckpoint("the file is empty", location=path, hint=COPY_AGAIN) from None
    except OSError as error:
        message, hint = f"unreadable ({error.strerror})", "Give the path of a file."
        raise BadCheckpoint(message, location=path, hint=hint) from None
    refuse_stand_ins(path, file[:1000].decode("utf-8", "replace"))
    try:
        if file[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(path) as archive:
                return _archive(archive, file, classes)
        return _stream(file, classes)
    except RefusedPickle as refused:
        asks = f"its pickle asks for {refused}, which is on no list of harmless things"
        hint = "Do not load this file with other programs unless you trust who made it."
        raise BadCheckpoint(f"{asks}; nothing of it was run", location=path, hint=hint) from None
    except (*DEFECTS, zipfile.BadZipFile, RuntimeError, OSError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        message = f"not a whole file of torch.save or pickle ({why})"
        raise BadCheckpoint(message, location=path, hint=COPY_AGAIN) from None


def _archive(archive: zipfile.ZipFile, file: mmap.mmap, classes: Collection[str]) -> Any:
    """A zip archive: one pickle, and an entry per storage."""
    entries = {info.filename: info for info in archive.infolist()}
    (name,) = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    root = name.removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries:
        raise RefusedPickle("a TorchScript program")
    if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
        raise ValueError("an entry is compressed, which torch.save does not do")
    order = entries.get(f"{root}byteorder")
    if order is not None and archive.read(order) != b"little":
        raise ValueError("written on a machine with another order of bytes")

    def storage(about: Any) -> Storage:
        kind, key, numbers, _view = _storage_id(about)
        info = entries[f"{root}data/{key}"]
        head = info.header_offset
        names, extra = struct.unpack("<HH", file[head + 26 : head + 30])
        dtype = _dtype(kind)
        if numbers * dtype.itemsize > info.file_size:
            raise ValueError("a tensor's numbers are missing")
        whole = numbers * dtype.itemsize == info.file_size
        return Storage(file, dtype, numbers, head + 30 + names + extra, info.CRC if whole else 0)

    return unpickle(archive.read(name), 0, classes, storage)[0]


def _storage_id(about: Any) -> tuple[Any, str, int, Any]:
    """The kind, key, count of numbers and view of a storage's id. Nothing else is looked at: to
    write out, compare or hash what a pickle holds may take all memory or time there is.
    """
    what, kind, key, location, numbers, *view = about if type(about) is tuple else ()
    if not all(type(part) is str for part in (what, key, location)) or what != "storage":
        raise ValueError("a persistent id that is not a storage's")
    if type(numbers) is not int or not 0 <= numbers < 1 << 63:
        raise ValueError("a storage of an impossible size")
    return kind, key, numbers, view[0] if view else None


def _stream(file: mmap.mmap, classes: Collection[str]) -> Any:
    """A pickle alone, or an early torch file: five pickles, then the numbers of each storage."""
    storages: dict[str, Storage] = {}

    def storage(about: Any) -> Any:
        if type(about) is tuple and type(about[0]) is str and about[0] == "module":
            return about[1]  # a class with its source text, which is of no use here
        kind, key, numbers, view = _storage_id(about)
        if view is not None:
            raise ValueError("a view of a storage")
        if key not in storages:
            storages[key] = Storage(file, _dtype(kind), numbers)
        return storages[key]

    first, place = unpickle(file, 0, classes, storage)
    if type(first) is not int or first != MAGIC:
        return first
    _version, place = unpickle(file, place, classes, storage)
    system, place = unpickle(file, place, classes, storage)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("written on a machine with another order of bytes")
    value, place = unpickle(file, place, classes, storage)
    keys, place = unpickle(file, place, classes, storage)
    for key in keys:
        (numbers,) = struct.unpack("<q", file[place : place + 8])
        found = storages.get(key) if type(key) is str else None
        if found is None or found.numbers != numbers:
            raise ValueError("a storage is not as it was announced")
        found.start = place + 8
        place = found.start + numbers * found.dtype.itemsize
        if place > len(file):
            raise EOFError("it ends in the middle of a tensor")
    return value


def _dtype(kind: Any) -> torch.dtype:
    dtype = kind.dtype if isinstance(kind, type) and issubclass(kind, Inert) else None
    if dtype is None:
        raise ValueError("a storage of an unknown kind of numbers")
    return dtype


def tensors_of(value: Any) -> dict[str, Saved] | None:
    """The tensors of a state dict, or of a pickled module with all it holds, by name.

    A prefix "module.", which a wrapper for several GPUs leaves, is taken away. None for anything
    else. Buffers that the module does not save are left out.
    """
    found: dict[str, Saved] = {}
    if isinstance(value, Inert) and "_parameters" in value.attributes:
        _walk(value, "", found, depth=0)
    elif isinstance(value, dict):
        named = ((n, t) for n, t in value.items() if isinstance(n, str) and isinstance(t, Saved))
        found = dict(named)
        if not value or len(found) < len(value):
            return None
    else:
        return None
    if found and all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): tensor for name, tensor in found.items()}
    return found


def _named(parts: Any) -> list[tuple[str, Any]]:
    """What a dict holds under names."""
    held = parts.items() if isinstance(parts, dict) else ()
    return [(name, part) for name, part in held if isinstance(name, str)]


def _walk(module: Inert, prefix: str, found: dict[str, Saved], depth: int) -> None:
    about = module.attributes
    if depth > 40 or len(found) > 100_000:
        raise BadCheckpoint("a module that contains itself", hint=COPY_AGAIN)
    passing = about.get("_non_persistent_buffers_set")
    passing = passing if isinstance(passing, set) else ()
    for part in ("_parameters", "_buffers"):
        for name, tensor in _named(about.get(part)):
            if isinstance(tensor, Saved) and not (part == "_buffers" and name in passing):
                found[f"{prefix}{name}"] = tensor
    for name, child in _named(about.get("_modules")):
        if isinstance(child, Inert):
            _walk(child, f"{prefix}{name}.", found, depth + 1)
