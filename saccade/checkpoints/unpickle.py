"""Reading pickles without running them.

A pickle is a program for a small stack machine, and Python's own reader lets that program import
and call whatever it names. The machine here has the same instructions and no way to import or
call anything: numbers, text and containers are built, tensors of torch become `Saved`, objects of
classes on the list below become `Inert`, which only remember what was said of them. A name on no
list, such as `os.system`, stops the reading with an error that says the name.
"""

import codecs
import pickletools
import re
import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

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
