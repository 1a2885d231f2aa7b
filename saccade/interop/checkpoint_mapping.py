"""Steps that all checkpoint layouts share: names and shapes of tensors, words and answers."""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from saccade.core.errors import BadCheckpoint, BadData
from saccade.data.batch import Sizes
from saccade.features.settings import Colour, Interpolation
from saccade.interop.torch_files import Saved, read_checkpoint, tensors_of
from saccade.models.catalogue import ModelConfig, build_model
from saccade.text.answers import AnswerList
from saccade.text.vocabulary import PAD, Vocabulary, Words

SHOWN = 4
"""So many names of each kind stand in an error."""
CAFFE = (
    "images: it was trained on the features of Caffe's {network}, which are not those of "
    "{backbone}; with these it answers and describes worse than published"
)
HEADS = "heads: the file tells none; if not set: {}"
"""Of a network whose tensors have the same shapes for any number of attention heads."""
WRITTEN = "Give the file that the checkpoint's own program wrote."


class Source(NamedTuple):
    """Published tensors of which one of ours is made."""

    names: tuple[str, ...]
    """Published ones."""
    turn: Callable[..., Tensor] = lambda tensor: tensor
    """From the published tensors to ours."""


def sources(
    model: nn.Module, names: Mapping[str, str], but: Collection[str] = ()
) -> dict[str, Source]:
    """One published tensor for each of a model's `but` some: `names` is {published layer: ours}.

    A layer's longest name counts, and what lies below a named layer is named alike.
    """
    published = {ours: theirs for theirs, ours in names.items()}
    made = {}
    for key in model.state_dict():
        if key in but:
            continue
        parts = key.split(".")
        above = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        ours = next(name for name in above if name in published)
        made[key] = Source((f"{published[ours]}{key.removeprefix(ours)}",))
    return made


class Tensors(dict[str, Saved]):
    """A checkpoint's tensors by their published names."""

    def without(self, pattern: str) -> "Tensors":
        """All but the tensors whose whole name a pattern matches."""
        return Tensors({name: t for name, t in self.items() if not re.fullmatch(pattern, name)})

    def below(self, prefix: str) -> "Tensors":
        """The tensors whose names begin with a prefix, without it."""
        return Tensors({n[len(prefix) :]: t for n, t in self.items() if n.startswith(prefix)})

    def count(self, pattern: str) -> int:
        """How many different first groups a pattern finds at the beginnings of names."""
        return len({found[1] for name in self if (found := re.match(pattern, name))})

    def matrix(self, name: str) -> tuple[int, int]:
        """Rows and columns of a tensor, or of a 1 x 1 convolution. Raises BadCheckpoint."""
        shape = self[name].shape
        if len(shape) < 2 or any(n != 1 for n in shape[2:]):
            message = f"{name} has the shape {tuple(shape)}, which is no matrix"
            raise BadCheckpoint(message, hint="The file is of another program.")
        return shape[0], shape[1]

    def require(self, wanted: Mapping[str, Source], layout: str) -> None:
        """Check that the names are exactly those of a layout. Raises BadCheckpoint, listing all."""
        needed = dict.fromkeys(key for source in wanted.values() for key in source.names)
        names = {
            "missing": [key for key in needed if key not in self and not _optional(key)],
            "unknown": sorted(self.keys() - needed.keys()),
        }
        parts = [f"{len(some)} {kind} ({_listed(some)})" for kind, some in names.items() if some]
        if parts:
            message = f"its tensors are not those of {layout}: {'; '.join(parts)}"
            hint = "Give the kind of checkpoint that it is, and the whole of it."
            raise BadCheckpoint(message, hint=hint)


def fill(
    model: nn.Module, tensors: Tensors, wanted: Mapping[str, Source], layout: str
) -> dict[str, Tensor]:
    """Every tensor of a model, made of a checkpoint's, as float32. Raises BadCheckpoint for
    tensors of another shape, with both shapes, and where one would be left over.
    """
    tensors.require(wanted, layout)
    filled, wrong = {}, []
    for key, own in model.state_dict().items():
        source = wanted[key]
        if all(_optional(name) and name not in tensors for name in source.names):
            filled[key] = torch.zeros(own.shape, dtype=own.dtype)
            continue
        try:
            made = source.turn(*(tensors[name].read() for name in source.names))
            # Dimensions of size 1 may differ: a 1 x 1 convolution's matrix, a scalar in brackets.
            fits = [n for n in made.shape if n != 1] == [n for n in own.shape if n != 1]
        except (RuntimeError, IndexError):  # gates that do not divide, widths that do not agree
            fits = False
        if fits:
            filled[key] = made.reshape(own.shape).to(own.dtype).contiguous()
        else:
            shapes = " and ".join(str(tensors[name].shape) for name in source.names)
            wrong.append(f"{' and '.join(source.names)} {shapes} where {tuple(own.shape)} fits")
    if wrong:
        message = f"{len(wrong)} tensors do not fit {layout}: {_listed(wrong)}"
        hint = "Say with --set FIELD=VALUE what the file does not: `saccade show RECIPE`."
        raise BadCheckpoint(message, hint=hint)
    return filled


def _optional(key: str) -> bool:
    """Does a file of an early torch lack it? A counter that only cumulative averages read."""
    return key.endswith("num_batches_tracked")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


WRAPPERS = ("weights", "state_dict", "model_state_dict", "model_state", "model", "net")
"""Under one of these a checkpoint may keep its tensors beside other things."""


class Bundle(NamedTuple):
    """A checkpoint, opened, and the files given with it."""

    path: Path
    value: Any
    words: Path | None
    answers: Path | None

    @property
    def part(self) -> dict[str, Any]:
        """Everything beside the tensors, by name; empty where the file is a state dict."""
        return self.value if isinstance(self.value, dict) else {}

    def tensors(self) -> Tensors:
        """The tensors by name, be they all that the file holds or one part of it.

        Raises BadCheckpoint where there are none, saying what there is.
        """
        found = tensors_of(self.value)
        for name in WRAPPERS:
            found = found or tensors_of(self.part.get(name))
        if not found:
            held = ", ".join(map(str, list(self.part)[:8])) or type(self.value).__name__
            message = f"it holds no tensors by name, but: {held}"
            hint = "Give the file with the model's weights."
            raise BadCheckpoint(message, location=self.path, hint=hint)
        return Tensors(found)

    def beside(
        self, unit: Literal["words", "answers"], pattern: str, found: Sequence[Path] | None = None
    ) -> Path:
        """The file of words or of answers that was given, or the only one beside the checkpoint
        that fits the pattern, or that was `found`.

        Raises BadCheckpoint where there is none, or more than one.
        """
        if given := self.words if unit == "words" else self.answers:
            return given
        found = sorted(self.path.parent.glob(pattern)) if found is None else found
        if len(found) == 1:
            return found[0]
        there = f"are {len(found)} files {pattern}" if found else f"is no {pattern}"
        message = f"it holds no {unit}, and beside it there {there}"
        raise BadCheckpoint(message, location=self.path, hint=f"Give the file with --{unit} FILE.")


class ImageInput(NamedTuple):
    """Backbone and preprocessing of the published program, as near as there is here."""

    backbone: str
    size: int
    resize: str = "squash"
    resize_to: int | None = None
    interpolation: Interpolation = "bilinear"
    mean: Colour | None = None
    """None for that of the network's own training."""
    std: Colour | None = None
    options: Mapping[str, Any] = MappingProxyType({})


class Reading(NamedTuple):
    """A checkpoint understood: all but the numbers themselves."""

    layout: str
    """As errors name it."""
    recipe: str
    """The recipe whose settings it takes."""
    model: dict[str, Any]
    """Fields of the model that the file decides."""
    tensors: Tensors
    sources: Callable[[nn.Module], dict[str, Source]]
    region_dim: Callable[[Any], int]
    """Numbers per region, from the model's config."""
    words: Words
    images: ImageInput
    backbone: Mapping[str, Saved] = MappingProxyType({})
    """The encoder's tensors by their names in saccade's backbone; empty where there are none."""
    recipe_fields: Mapping[str, Any] = MappingProxyType({})
    """Other fields of the recipe, such as "decode.beam_size"."""
    notes: tuple[str, ...] = ()
    """Notes for the user: what was not brought along."""


def skeleton(config: ModelConfig, sizes: Sizes | None = None) -> nn.Module:
    """A model without numbers, for its names and shapes."""
    with torch.device("meta"):
        return build_model(config, sizes or Sizes(9, 9, 9, (14, 14), 196))


def read_file(path: Path) -> Any:
    """The content of a file of words, JSON or a pickle. Raises BadCheckpoint."""
    if path.suffix != ".json":
        return read_checkpoint(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadCheckpoint("no such file", location=path, hint="Check the name.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadCheckpoint(f"not JSON ({error})", location=path, hint=WRITTEN) from None


def caption_words(word_map: object, location: Path) -> Vocabulary:
    """A WORDMAP of the PyTorch tutorial: {word: id}, with the special words among them."""
    words = tuple(in_order(word_map, location))
    special = (PAD, "<unk>", "<start>", "<end>")
    if lacking := sorted(set(special) - set(words)):
        raise _no_words(location, f"it lacks {', '.join(lacking)}")
    pad, unknown, start, end = map(words.index, special)
    return Vocabulary(words, pad=pad, unknown=unknown, tokenizer="karpathy", start=start, end=end)


def one_end_words(ix_to_word: object, location: Path) -> Vocabulary:
    """{"1": word, ...} of self-critical.pytorch, where id 0 begins, ends and fills captions."""
    if not isinstance(ix_to_word, dict) or not ix_to_word:
        raise _no_words(location, "it is no map from ids to words")
    try:
        turned = {str(word): int(id_) for id_, word in ix_to_word.items()}
    except (TypeError, ValueError):
        raise _no_words(location, "an id is no number") from None
    words = in_order({"<end>": 0, **turned}, location)
    unknown = words.index("UNK") if "UNK" in words else 0
    return Vocabulary(tuple(words), pad=0, unknown=unknown, tokenizer="karpathy", start=0, end=0)


def question_words(ids: object, tokenizer: str, location: Path, first: int = 1) -> Vocabulary:
    """{token: id from `first` on}; before them comes padding, which is every unknown word too."""
    if not isinstance(ids, dict):
        raise _no_words(location, "it is no map from words to ids")
    words = in_order({PAD: first - 1, **ids}, location, first - 1)
    return Vocabulary(tuple(words), pad=0, unknown=0, tokenizer=tokenizer)


def answers_of(labels: object, normaliser: str, rows: int, location: Path) -> AnswerList:
    """A list of answers, or {answer: id}, one for each of the checkpoint's rows.

    Raises BadCheckpoint.
    """
    given = in_order(labels, location) if isinstance(labels, dict) else labels
    if not isinstance(given, list) or not all(isinstance(answer, str) for answer in given):
        raise BadCheckpoint("this is no list of answers", location=location, hint=WRITTEN)
    try:
        listed = AnswerList(tuple(given), normaliser)
    except BadData as error:
        raise BadCheckpoint(error.message, location=location, hint=WRITTEN) from None
    check_sizes("answers", len(listed), rows, location)
    return listed


def in_order(ids: object, location: Path, first: int = 0) -> list[str]:
    """The words of {word: id} by their ids, which must be `first` and those that follow it.

    Raises BadCheckpoint.
    """
    if not isinstance(ids, Mapping) or not all(
        isinstance(word, str) and isinstance(id_, int) for word, id_ in ids.items()
    ):
        raise _no_words(location, "it is no map from words to ids")
    ordered = sorted(ids, key=ids.__getitem__)
    wanted = range(first, first + len(ids))
    if sorted(ids.values()) != list(wanted):
        raise _no_words(location, f"its {len(ids)} ids are not {first} to {wanted.stop - 1}")
    return ordered


def check_sizes(unit: str, found: int, wanted: int, location: Path) -> None:
    """The words of a file must be as many as the checkpoint's rows. Raises BadCheckpoint."""
    if found != wanted:
        message = f"{found} {unit}, but the checkpoint was trained with {wanted}"
        hint = "Give the file that was written for this checkpoint."
        raise BadCheckpoint(message, location=location, hint=hint)


def _no_words(location: Path, why: str) -> BadCheckpoint:
    message = f"this is no vocabulary of that program: {why}"
    return BadCheckpoint(message, location=location, hint=WRITTEN)
