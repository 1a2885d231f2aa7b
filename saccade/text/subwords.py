"""Sub-words of pretrained language models, such as GPT-2's, from a local file.

Such a vocabulary is not counted in the training split: it comes whole, with the rules by which
it cuts words into pieces. Both travel as one JSON text, `tokenizer.json` of the `tokenizers`
library, which a run folder keeps.
"""

from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from saccade.core.errors import BadConfig, BadData

WHOLE = "tokenizer.json"
PARTS = ("vocab.json", "merges.txt")
"""The same as GPT-2 was published: ids of the pieces, and pairs of them in order of merging."""
END_OF_TEXT = "<|endoftext|>"
PADDING = ("<pad>", "[PAD]", END_OF_TEXT)
"""The first of these that a vocabulary has; GPT-2 has none for it, and its end of text is taken."""
UNKNOWN = ("<unk>", "[UNK]")
"""As above; where pieces go down to bytes, nothing is unknown."""
HINT = "Give tokenizer.json, or a folder with it or with vocab.json and merges.txt."


class Subwords(NamedTuple):
    """Pieces by id, two of them special, and the rules as JSON text."""

    pieces: tuple[str, ...]
    pad: int
    unknown: int
    rules: str


def read_subwords(path: Path) -> Subwords:
    """Read a `tokenizer.json`, or a folder that has one, or has GPT-2's two files.

    Raises BadConfig where there is no such file, BadData where it is something else.
    """
    whole = path / WHOLE if path.is_dir() else path
    parts = [str(path / name) for name in PARTS]
    try:
        if whole.is_file():
            cutter = cutter_of(whole.read_text(encoding="utf-8"), whole)
        elif all(Path(part).is_file() for part in parts):
            cutter = Tokenizer(BPE.from_file(*parts))
            cutter.pre_tokenizer = ByteLevel(add_prefix_space=False)
            cutter.decoder = ByteLevelDecoder()
            cutter.add_special_tokens([END_OF_TEXT])
        else:
            raise BadConfig("there is no tokenizer", location=path, hint=HINT)
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"unreadable ({error})", location=path, hint=HINT) from None
    except Exception as error:  # the library raises nothing more special
        if isinstance(error, (BadConfig, BadData)):
            raise
        message = f"no tokenizer ({str(error).splitlines()[0][:200]})"
        raise BadData(message, location=path, hint=HINT) from None
    return _subwords(cutter, path)


def cutter_of(rules: str, location: Path | None = None) -> Tokenizer:
    """What cuts text into pieces, from its JSON text: whole texts, whatever the file says of
    padding. Raises BadData.
    """
    try:
        cutter = Tokenizer.from_str(rules)
    except Exception as error:  # the library raises nothing more special
        message = f"no tokenizer ({str(error).splitlines()[0][:200]})"
        raise BadData(message, location=location, hint=HINT) from None
    cutter.no_padding()
    cutter.no_truncation()
    return cutter


def _subwords(cutter: Tokenizer, location: Path) -> Subwords:
    ids = cutter.get_vocab(with_added_tokens=True)
    pieces = tuple(sorted(ids, key=lambda piece: ids[piece]))
    pad = next((ids[piece] for piece in PADDING if piece in ids), None)
    if [ids[piece] for piece in pieces] != list(range(len(pieces))):
        raise BadData("a tokenizer's ids have gaps", location=location, hint=HINT)
    if pad is None:
        message = f"a tokenizer without any of {', '.join(PADDING)}, to fill short questions with"
        raise BadData(message, location=location, hint="Add one to its special tokens.")
    unknown = next((ids[piece] for piece in UNKNOWN if piece in ids), pad)
    return Subwords(pieces, pad, unknown, cutter.to_str())
