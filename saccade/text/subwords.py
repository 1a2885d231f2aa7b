"""Subword tokenizers of pretrained language models, such as GPT-2's, from a local file.

Such a vocabulary is not counted in the training split: it comes whole, with the rules that split
words into pieces. Both are one JSON text, `tokenizer.json` of the `tokenizers` library, which a
run folder keeps.
"""

# ruff: noqa: PLC0415 - `tokenizers` is imported where one is read: most runs have none

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from saccade.core.errors import BadConfig, BadData

if TYPE_CHECKING:
    from tokenizers import Tokenizer

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
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    whole = path / WHOLE if path.is_dir() else path
    parts = [str(path / name) for name in PARTS]
    try:
        if whole.is_file():
            tokenizer = parse_tokenizer(whole.read_text(encoding="utf-8"), whole)
        elif all(Path(part).is_file() for part in parts):
            tokenizer = Tokenizer(BPE.from_file(*parts))
            tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
            tokenizer.decoder = ByteLevelDecoder()
            tokenizer.add_special_tokens([END_OF_TEXT])
        else:
            raise BadConfig("there is no tokenizer", location=path, hint=HINT)
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"unreadable ({error})", location=path, hint=HINT) from None
    except (BadConfig, BadData):
        raise
    except Exception as error:  # the library raises nothing more special
        raise _no_tokenizer(error, path) from None
    ids = tokenizer.get_vocab(with_added_tokens=True)
    pieces = tuple(sorted(ids, key=lambda piece: ids[piece]))
    pad = next((ids[piece] for piece in PADDING if piece in ids), None)
    if [ids[piece] for piece in pieces] != list(range(len(pieces))):
        raise BadData("a tokenizer's ids have gaps", location=path, hint=HINT)
    if pad is None:
        message = f"a tokenizer without any of {', '.join(PADDING)}, to fill short questions with"
        raise BadData(message, location=path, hint="Add one to its special tokens.")
    unknown = next((ids[piece] for piece in UNKNOWN if piece in ids), pad)
    return Subwords(pieces, pad, unknown, tokenizer.to_str())


def parse_tokenizer(rules: str, location: Path | None = None) -> "Tokenizer":
    """The tokenizer that a JSON text describes, without padding and truncation. Raises BadData."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(rules)
    except Exception as error:  # the library raises nothing more special
        raise _no_tokenizer(error, location) from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _no_tokenizer(error: Exception, location: Path | None) -> BadData:
    message = f"no tokenizer ({str(error).splitlines()[0][:200]})"
    return BadData(message, location=location, hint=HINT)
