"""Checkpoints of PitVQA-Net: a whole pickled module, or its state dict.

Keys as in the captioning specification, 5.4, those of the ViT as transformers 4 or 5 names them.
GPT-2's tokenizer stands in a pickled module, or in files beside a state dict; the answers are known
by how many there are.
"""

import json
import math
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from saccade.core.errors import BadCheckpoint
from saccade.datasets.pitvqa import CLASSES
from saccade.interop.checkpoint_mapping import (
    HEADS,
    WRAPPERS,
    Bundle,
    ImageInput,
    Reading,
    Tensors,
    answers_of,
    check_sizes,
    read_file,
    skeleton,
    sources,
)
from saccade.interop.torch_files import Inert
from saccade.models.catalogue import PitVqaConfig
from saccade.text.answers import AnswerList
from saccade.text.tokenizers import FILE
from saccade.text.vocabulary import PARTS, WHOLE, Vocabulary, Words, file_vocabulary

LAYOUT = "pitvqa (PitVQANet)"
NAMES = {
    "text_encoder": "text_encoder",
    "gpt_decoder": "language_model",
    "intermediate_layer": "intermediate",
    "se_layer.0": "gate",
    "LayerNorm": "norm",
    "classifier": "output",
}
ENDOVIS18 = (
    *("kidney", "Idle", "Grasping", "Retraction", "Tissue_Manipulation", "Tool_Manipulation"),
    *("Cutting", "Cauterization", "Suction", "Looping", "Suturing", "Clipping", "Staple"),
    *("Ultrasound_Sensing", "left-top", "right-top", "left-bottom", "right-bottom"),
)
"""The 18 answers of EndoVis18-VQA in the order of the published classifier."""

CONSTANT = r".+\.(position_ids|attn\.(masked_)?bias)"
"""Buffers that older versions of transformers saved, which hold no weights."""
HEAD_WIDTH = 64
"""Numbers per head of ViT-B, BLIP and GPT-2, where no config says how many heads there are."""
VIT = "transformers:google/vit-base-patch16-224-in21k"
VIT_B_16 = {
    **{"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072},
    **{"image_size": 224, "patch_size": 16, "num_attention_heads": 12},
}


def pitvqa(bundle: Bundle) -> Reading:
    """The released network with its fine-tuned ViT."""
    tensors = bundle.tensors().without(CONSTANT)
    encoder = tensors.below("visual_encoder.")
    tensors = tensors.without(r"visual_encoder\..+")
    structure: dict[str, Any] = {
        "mode": "faithful",
        "text_layers": max(tensors.count(r"text_encoder\.encoder\.layer\.(\d+)\."), 1),
        "language_layers": max(tensors.count(r"gpt_decoder\.h\.(\d+)\."), 1),
    }
    made = partial(sources, names=NAMES)
    tensors.require(made(skeleton(PitVqaConfig(**structure))), LAYOUT)
    words, width = tensors.matrix("text_encoder.embeddings.word_embeddings.weight")
    layer = "text_encoder.encoder.layer.0"
    _, region_dim = tensors.matrix(f"{layer}.crossattention.self.key.weight")
    answers, hidden = tensors.matrix("classifier.weight")
    # Each network has its own heads, of which the tensors tell nothing.
    told = {
        "text_heads": _part(bundle, "text_encoder", "config").get("num_attention_heads"),
        "language_heads": _part(bundle, "gpt_decoder", "config").get("n_head"),
    }
    heads = {field: _heads(width, given) for field, given in told.items()}
    guessed = [f"model.{name}={n}" for name, n in heads.items() if n and told[name] is None]
    vocabulary = _words(bundle)
    check_sizes("pieces of words", len(vocabulary), words, bundle.words or bundle.path)
    published = {len(CLASSES): CLASSES, len(ENDOVIS18): ENDOVIS18}
    if bundle.answers is None and answers in published:
        listed = AnswerList(published[answers], "none")
    else:
        location = bundle.beside("answers", f"known data set of {answers} of them", [])
        listed = answers_of(read_file(location), "none", answers, location)
    return Reading(
        LAYOUT,
        "pitvqa",
        {
            **structure,
            **heads,
            "width": width,
            "feed_forward": tensors.matrix(f"{layer}.intermediate.dense.weight")[0],
            "hidden": hidden,
            "text_weights": None,
            "language_weights": None,
        },
        tensors,
        made,
        lambda _: region_dim,
        Words(vocabulary, listed),
        _image_input(encoder, _part(bundle, "visual_encoder", "config")),
        encoder,
        notes=(
            "images: frames of PitVQA are to be cut out as that data set's own program does",
            *(() if encoder else (f"images: it holds no ViT, so {VIT} is used instead",)),
            *([HEADS.format(", ".join(guessed))] if guessed else []),
        ),
    )


def _heads(width: int, given: object) -> int | None:
    """How many heads: as the pickled config says, else as wide as usual, else not known."""
    if isinstance(given, int):
        return given
    return None if width % HEAD_WIDTH else width // HEAD_WIDTH


def _part(bundle: Bundle, *names: str) -> Mapping[str, Any]:
    """Attributes of a part of the pickled module; none where the file holds a state dict."""
    found = bundle.value
    for name in WRAPPERS:
        found = bundle.part.get(name, found)
    for name in names:
        about = found.attributes if isinstance(found, Inert) else {}
        found = dict(about.get("_modules") or {}).get(name, about.get(name))
    return found.attributes if isinstance(found, Inert) else {}


def _image_input(encoder: Tensors, config: Mapping[str, Any]) -> ImageInput:
    """The ViT's sizes where they are not ViT-B/16's; frames as they were, not normalised."""
    zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    usual = ImageInput(VIT, 224, interpolation="bicubic", mean=zero, std=one)
    if not encoder:
        return usual
    places = "embeddings.position_embeddings"
    patches = "embeddings.patch_embeddings.projection.weight"
    if lacking := [name for name in (places, patches) if name not in encoder]:
        message = f"{LAYOUT}: {len(lacking)} missing (visual_encoder.{lacking[0]})"
        raise BadCheckpoint(message, hint="Give the whole of the checkpoint.")
    *_, cells, width = encoder[places].shape
    patch = encoder[patches].shape[-1]
    size = math.isqrt(max(cells - 1, 0)) * patch
    heads = _heads(width, config.get("num_attention_heads"))
    if heads is None:
        message = f"{LAYOUT}: of how many heads its ViT is, {width} wide, the file does not say"
        raise BadCheckpoint(message, hint="Give the whole pickled module, with its config.")
    inner = [t.shape[0] for n, t in encoder.items() if re.search(r"(fc1|te\.dense)\.weight$", n)]
    options = {
        "hidden_size": width,
        "num_hidden_layers": encoder.count(r"(?:encoder\.layer|layers)\.(\d+)\."),
        "intermediate_size": inner[0] if inner else 4 * width,
        "image_size": size,
        "patch_size": patch,
        "num_attention_heads": heads,
    }
    other = {name: value for name, value in options.items() if VIT_B_16[name] != value}
    return usual._replace(size=size, options=other)


def _words(bundle: Bundle) -> Vocabulary:
    """GPT-2's pieces of words and how text is cut into them. Raises BadCheckpoint."""
    held = _part(bundle, "tokenizer")
    ids, ranks = held.get("encoder"), held.get("bpe_ranks")
    if bundle.words is None and isinstance(ids, dict) and isinstance(ranks, dict):
        merges = sorted(ranks, key=ranks.__getitem__)
        lines = ["#version: 0.2", *(" ".join(map(str, pair)) for pair in merges)]
        with tempfile.TemporaryDirectory() as made:
            for name, text in zip(PARTS, (json.dumps(ids), "\n".join(lines) + "\n"), strict=True):
                (Path(made) / name).write_text(text, encoding="utf-8")
            return _of_file(Path(made), "gpt2")
    folder = bundle.path.parent
    parts = all((folder / name).exists() for name in PARTS)
    found = [folder / WHOLE] if (folder / WHOLE).exists() else [folder] if parts else []
    location = bundle.beside("words", f"{WHOLE}, nor {' and '.join(PARTS)}", found)
    return _of_file(location, location.name)


def _of_file(path: Path, name: str) -> Vocabulary:
    """A tokenizer's words; the file itself is needed no more."""
    return replace(file_vocabulary(f"{FILE}{path}"), tokenizer=f"{FILE}{name}")
