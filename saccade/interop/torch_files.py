"""Reading what `torch.save` wrote, or `pickle` alone, without running it.

Three layouts: the zip archive of torch 1.6 and later, the stream of pickles and raw numbers of
earlier ones, and a pickle alone. Tensors stay on disk until somebody asks for their numbers, so an
optimiser's moments, twice as large as the weights, cost nothing.
"""

import codecs
import io
import math
import mmap
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import torch
from torch import Tensor

from saccade.core.errors import BadCheckpoint

# Reading pickles without running them.

DEFECTS = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, EOFError),
    *(OverflowError, RecursionError, MemoryError, struct.error),
)
"""What damaged bytes may make a reader of any format raise."""

MOST_STEPS = 50_000_000
"""Instructions of one pickle; a published checkpoint with all its optimiser has under a million."""

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


@dataclass(eq=False)
class Inert:
    """What stands for a class, a function, or an object made by one: it does nothing."""

    name: str
    """Such as "models.DecoderWithAttention"."""
    args: tuple[Any, ...] = ()
    state: Any = None
    """An object's attributes, for nearly all classes a dict."""
    items: dict[Any, Any] = field(default_factory=dict)
    """What was put into it by key, where it was some kind of dict."""

    @property
    def attributes(self) -> dict[str, Any]:
        """The object's attributes; none where its state is no dict."""
        return self.state if isinstance(self.state, dict) else {}


@dataclass(frozen=True)
class Called:
    """What happens when a pickle calls a name that is on no list of inert ones."""

    build: Callable[..., Any]


def _reconstructed(kind: Any, _base: Any = None, state: Any = None) -> Any:
    return Inert(kind.name, () if state is None else (state,))


def _encoded(text: str, coding: str) -> bytes:
    if coding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes written in {coding}")
    return text.encode("latin-1")


_BUILT: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": lambda pairs=(): dict(pairs),
    "torch.Size": lambda sizes=(): tuple(sizes),
    "_codecs.encode": _encoded,
    "copyreg._reconstructor": _reconstructed,
    "copyreg.__newobj__": _reconstructed,
    "builtins.bytes": lambda: b"",
    **{f"builtins.{kind.__name__}": kind for kind in (dict, list, set, frozenset, tuple)},
}
_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class Machine:
    """Reads one pickle. `names` adds names and what calling them builds; `classes` are names of
    classes that stand in any module, such as the checkpoint's own models; `storage` makes
    something of a persistent id, torch's way to say where a tensor's numbers are.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        names: Mapping[str, Callable[..., Any]] | None = None,
        classes: Collection[str] = (),
        storage: Callable[[Any], Any] | None = None,
    ) -> None:
        self.stream, self.classes, self.storage = stream, classes, storage
        self.known = {**_BUILT, **(names or {})}
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def read(self) -> Any:
        """What the pickle says. Raises RefusedPickle, or one of DEFECTS for damaged bytes."""
        for _ in range(MOST_STEPS):
            code = self.stream.read(1)
            if not code:
                raise EOFError("it ends in the middle")
            opcode = _OPCODES[code.decode("latin-1")]
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in ("STRING", "BINSTRING", "SHORT_BINSTRING"):
                self.stack.append(self._text(opcode))
                continue
            arg = None if opcode.arg is None else opcode.arg.reader(self.stream)
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name]())
            elif _VALUES.fullmatch(name):
                self.stack.append(arg)
            elif name not in ("PROTO", "FRAME"):
                step = _STEPS.get(name)
                if step is None:
                    raise RefusedPickle(f"the instruction {name}")
                step(self, arg)
        raise ValueError("it does not end")

    def _text(self, opcode: pickletools.OpcodeInfo) -> str:
        """A string of Python 2, which are bytes: UTF-8 where they can be."""
        if opcode.name == "STRING":
            line = pickletools.read_stringnl(self.stream, decode=False)
            raw = codecs.escape_decode(line)[0]
        else:
            assert opcode.arg is not None
            raw = opcode.arg.reader(self.stream).encode("latin-1")
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError:
            return str(raw, "latin-1")

    def push(self, value: Any) -> None:
        """Put a value on top of the stack, which `marked` may have changed for another."""
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """Everything since the last mark."""
        since, self.stack = self.stack, self.marks.pop()
        return since

    def find(self, module: str, name: str) -> Any:
        """What stands for a name. Raises RefusedPickle for one that is not on the list."""
        whole = f"{_PYTHON_2.get(module, module)}.{name}"
        if whole in self.known:
            return Called(self.known[whole])
        if name in self.classes or _INERT.fullmatch(whole):
            return Inert(whole)
        raise RefusedPickle(f"{module}.{name}")

    def call(self, what: Any, args: Any) -> Any:
        """What a pickle gets for calling something: a container, or an object that does nothing."""
        if isinstance(what, Called):
            return what.build(*args)
        if isinstance(what, Inert):
            return Inert(what.name, tuple(args))
        raise TypeError(f"{type(what).__name__} is called")

    def put(self, pairs: list[Any]) -> None:
        """Put keys and values into the dict on top of the stack."""
        target = self.stack[-1]
        items = target.items if isinstance(target, Inert) else target
        if not isinstance(items, dict):
            raise TypeError("keys are put into what is no dict")
        items.update(zip(pairs[::2], pairs[1::2], strict=True))

    def extend(self, values: list[Any]) -> None:
        """Put values into the list or set on top of the stack."""
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, set):
            target.update(values)
        elif isinstance(target, Inert):
            target.args = (*target.args, *values)
        else:
            raise TypeError("values are put into what holds none")

    def build(self) -> None:
        """Give the object on top of the stack its attributes."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Inert):
            target.state = state

    def persistent(self, about: Any) -> None:
        """Ask for what is not in the pickle itself."""
        if self.storage is None:
            raise RefusedPickle("something outside the pickle")
        self.stack.append(self.storage(about))


def _tuple(size: int) -> Callable[[Machine, Any], None]:
    def step(machine: Machine, _arg: Any) -> None:
        if len(machine.stack) < size:
            raise IndexError("the stack is empty")
        machine.stack[-size:] = [tuple(machine.stack[-size:])]

    return step


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return dict(zip(values[::2], values[1::2], strict=True))


def _mark(machine: Machine) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _popped(machine: Machine, count: int) -> list[Any]:
    if len(machine.stack) < count:
        raise IndexError("the stack is empty")
    taken = machine.stack[-count:]
    del machine.stack[-count:]
    return taken


def _named(machine: Machine, arg: str) -> None:
    module, name = arg.split(" ", 1)
    machine.push(machine.find(module, name))


def _instance(machine: Machine, arg: str) -> None:
    args = machine.marked()
    module, name = arg.split(" ", 1)
    machine.push(machine.call(machine.find(module, name), args))


def _object(machine: Machine, _arg: Any) -> None:
    kind, *args = machine.marked()
    machine.push(machine.call(kind, args))


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_VALUES = re.compile(
    r"(BIN)?INT[12]?|LONG[14]?|(BIN)?FLOAT|(SHORT_)?(BIN)?UNICODE8?|(SHORT_)?BINBYTES8?|BYTEARRAY8"
)
_STEPS: dict[str, Callable[[Machine, Any], Any]] = {
    "MARK": lambda m, _: _mark(m),
    "POP": lambda m, _: m.stack.pop() if m.stack else m.marked(),
    "POP_MARK": lambda m, _: m.marked(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "TUPLE": lambda m, _: m.push(tuple(m.marked())),
    "LIST": lambda m, _: m.push(m.marked()),
    "DICT": lambda m, _: m.push(_pairs(m.marked())),
    "FROZENSET": lambda m, _: m.push(frozenset(m.marked())),
    "APPEND": lambda m, _: m.extend(_popped(m, 1)),
    "APPENDS": lambda m, _: m.extend(m.marked()),
    "ADDITEMS": lambda m, _: m.extend(m.marked()),
    "SETITEM": lambda m, _: m.put(_popped(m, 2)),
    "SETITEMS": lambda m, _: m.put(m.marked()),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, arg: m.push(m.memo[int(arg)])),
    **dict.fromkeys(
        ("PUT", "BINPUT", "LONG_BINPUT"), lambda m, arg: m.memo.update({int(arg): m.stack[-1]})
    ),
    "MEMOIZE": lambda m, _: m.memo.update({len(m.memo): m.stack[-1]}),
    "GLOBAL": _named,
    "STACK_GLOBAL": lambda m, _: m.push(m.find(*map(str, _popped(m, 2)))),
    "INST": _instance,
    "OBJ": _object,
    "REDUCE": lambda m, _: m.push(m.call(*_popped(m, 2))),
    "NEWOBJ": lambda m, _: m.push(m.call(*_popped(m, 2))),
    "NEWOBJ_EX": lambda m, _: m.push(m.call(*_popped(m, 3)[:2])),
    "BUILD": lambda m, _: m.build(),
    "PERSID": lambda m, arg: m.persistent(arg),
    "BINPERSID": lambda m, _: m.persistent(m.stack.pop()),
}


MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of a file that an early torch wrote."""

_DTYPES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
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

    def read(self) -> Tensor:
        """All of the numbers, `(numbers,)`. Raises ValueError where the file is not whole."""
        size = self.numbers * self.dtype.itemsize
        if self.start is None or not 0 <= self.start <= len(self.file) - size:
            raise ValueError("a tensor's numbers are missing")
        raw = bytearray(self.file[self.start : self.start + size])
        if self.crc32 and zlib.crc32(raw) != self.crc32:
            raise ValueError("a tensor's numbers have changed since they were written")
        return torch.frombuffer(raw, dtype=self.dtype) if raw else torch.empty(0, dtype=self.dtype)


class Saved(NamedTuple):
    """A tensor that a file holds, not read yet."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self) -> Tensor:
        """The tensor, on the CPU, with memory of its own. Raises BadCheckpoint."""
        try:
            whole = self.storage.read()
        except ValueError as error:
            raise BadCheckpoint(str(error), hint=COPY_AGAIN) from None
        return whole.as_strided(self.shape, self.stride, self.offset).clone()


def read_checkpoint(path: Path, classes: Collection[str] = ()) -> Any:
    """What a file holds: containers, numbers and text as they are, tensors as `Saved`, and objects
    as `Inert`. `classes` names the checkpoint's own classes, which stand in any module.

    Raises BadCheckpoint for a file that is missing, damaged, no pickle, or whose pickle names
    anything that is on no list, such as `os.system`; that is neither imported nor run.
    """
    file = open_file(path)
    try:
        if file[:4] == b"PK\x03\x04":
            return _archive(path, file, classes)
        return _stream(file, classes)
    except RefusedPickle as refused:
        raise BadCheckpoint(
            f"its pickle asks for {refused}, which is on no list of harmless things; "
            "nothing of it was run",
            location=path,
            hint="Do not load this file with other programs unless you trust who made it.",
        ) from None
    except (*DEFECTS, zipfile.BadZipFile, RuntimeError, OSError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BadCheckpoint(
            f"not a whole file of torch.save or pickle ({why})",
            location=path,
            hint=COPY_AGAIN,
        ) from None


def open_file(path: Path) -> mmap.mmap:
    """A file as if it stood in memory. Raises BadCheckpoint where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise BadCheckpoint("no such file", location=path, hint="Check the name.") from None
    except ValueError:
        raise BadCheckpoint("the file is empty", location=path, hint=COPY_AGAIN) from None
    except OSError as error:
        raise BadCheckpoint(
            f"unreadable ({error.strerror})", location=path, hint="Give the path of a file."
        ) from None


def _archive(path: Path, file: mmap.mmap, classes: Collection[str]) -> Any:
    """A zip archive: one pickle, and an entry per storage."""
    with zipfile.ZipFile(path) as archive:
        return _opened(archive, file, classes)


def _opened(archive: zipfile.ZipFile, file: mmap.mmap, classes: Collection[str]) -> Any:
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
        what, kind, key, _location, numbers, *_ = about
        if what != "storage":
            raise ValueError(f"a persistent {what}")
        info = entries[f"{root}data/{key}"]
        head = info.header_offset
        names, extra = struct.unpack("<HH", file[head + 26 : head + 30])
        dtype = _dtype(kind)
        if numbers * dtype.itemsize > info.file_size:
            raise ValueError("a tensor's numbers are missing")
        whole = numbers * dtype.itemsize == info.file_size
        return Storage(file, dtype, numbers, head + 30 + names + extra, info.CRC if whole else 0)

    return _machine(io.BytesIO(archive.read(name)), classes, storage).read()


def _stream(file: mmap.mmap, classes: Collection[str]) -> Any:
    """A pickle alone, or an early torch file: five pickles, then the numbers of each storage."""
    stream = cast(BinaryIO, file)
    storages: dict[str, Storage] = {}

    def storage(about: Any) -> Any:
        if about[0] == "module":  # a class with its source text, which is of no use here
            return about[1]
        what, kind, key, _location, numbers, view = about
        if what != "storage" or view is not None:
            raise ValueError(f"a persistent {what}, or a view of one")
        return storages.setdefault(key, Storage(file, _dtype(kind), numbers))

    first = _machine(stream, classes, storage).read()
    if first != MAGIC:
        return first
    _version, system = (_machine(stream, classes, storage).read() for _ in range(2))
    if not system["little_endian"]:
        raise ValueError("written on a machine with another order of bytes")
    value = _machine(stream, classes, storage).read()
    for key in _machine(stream, classes, storage).read():
        (numbers,) = struct.unpack("<q", file.read(8))
        found = storages.get(key)
        if found is None or found.numbers != numbers:
            raise ValueError(f"storage {key} is not as it was announced")
        found.start = file.tell()
        end = found.start + numbers * found.dtype.itemsize
        if end > len(file):
            raise EOFError("it ends in the middle of a tensor")
        file.seek(end)
    return value


def _machine(stream: BinaryIO, classes: Collection[str], storage: Callable[[Any], Any]) -> Machine:
    names: dict[str, Callable[..., Any]] = {
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": lambda data, *_: data,
        "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
        "torch._tensor._rebuild_from_type_v2": _with_attributes,
        "torch.nn.parameter.Parameter": lambda data=None, *_: data,
        "torch.nn.parameter.Buffer": lambda data=None, *_: data,
        "torch.autograd.variable.Variable": lambda data=None, *_: data,
    }
    return Machine(stream, names=names, classes=classes, storage=storage)


def _with_attributes(build: Any, _kind: Any, args: Any, _state: Any) -> Any:
    """A tensor somebody gave attributes to, which are left out."""
    if not isinstance(build, Called):
        raise ValueError("a tensor that is not made of numbers")
    return build.build(*args)


def _tensor(storage: Any, offset: int, shape: Any, stride: Any, *_: Any) -> Saved:
    """A view of a storage, which must lie within it."""
    if not isinstance(storage, Storage) or len(shape) != len(stride):
        raise ValueError("a tensor without a storage")
    numbers = (offset, *shape, *stride)
    if not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise ValueError("a tensor of impossible shape")
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if math.prod(shape) > storage.numbers or (math.prod(shape) and last >= storage.numbers):
        raise ValueError("a tensor that is larger than its storage")
    return Saved(storage, offset, tuple(shape), tuple(stride))


def _dtype(kind: Any) -> torch.dtype:
    name = kind.name.rpartition(".")[2] if isinstance(kind, Inert) else ""
    dtype = _DTYPES.get(name.removesuffix("Storage"))
    if dtype is None:
        raise ValueError(f"numbers of the kind {name or kind!r}")
    return dtype


def tensors_of(value: Any) -> dict[str, Saved] | None:
    """The tensors of a state dict, or of a pickled module with all it holds, by name.

    A prefix "module.", which a wrapper for several GPUs leaves, is taken away. None for anything
    else. Buffers that the module does not save are left out.
    """
    if isinstance(value, Inert) and "_parameters" in value.attributes:
        found: dict[str, Saved] = {}
        _walk(value, "", found, depth=0)
    elif isinstance(value, dict) and value and _is_state(value):
        found = {name: tensor for name, tensor in value.items() if isinstance(tensor, Saved)}
    else:
        return None
    if found and all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): tensor for name, tensor in found.items()}
    return found


def _is_state(value: dict[Any, Any]) -> bool:
    return all(isinstance(name, str) for name in value) and all(
        isinstance(tensor, Saved) for tensor in value.values()
    )


def _walk(module: Inert, prefix: str, found: dict[str, Saved], depth: int) -> None:
    about = module.attributes
    if depth > 40 or len(found) > 100_000:
        raise BadCheckpoint("a module that contains itself", hint=COPY_AGAIN)
    passing = about.get("_non_persistent_buffers_set") or ()
    for part in ("_parameters", "_buffers"):
        for name, tensor in dict(about.get(part) or {}).items():
            if isinstance(tensor, Saved) and not (part == "_buffers" and name in passing):
                found[f"{prefix}{name}"] = tensor
    for name, child in dict(about.get("_modules") or {}).items():
        if isinstance(child, Inert):
            _walk(child, f"{prefix}{name}.", found, depth + 1)
