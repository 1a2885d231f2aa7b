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
from saccade.interop import checkpoint_mapping as mapping
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


def pitvqa(bundle: mapping.Bundle) -> mapping.Reading:
    """The released network with its fine-tuned ViT."""
    tensors = bundle.tensors().without(CONSTANT)
    encoder = tensors.below("visual_encoder.")
    tensors = tensors.without(r"visual_encoder\..+")
    structure: dict[str, Any] = {
        "mode": "faithful",
        "text_layers": max(tensors.count(r"text_encoder\.encoder\.layer\.(\d+)\."), 1),
        "language_layers": max(tensors.count(r"gpt_decoder\.h\.(\d+)\."), 1),
    }
    made = partial(mapping.sources, names=NAMES)
    tensors.require(made(mapping.skeleton(PitVqaConfig(**structure))), LAYOUT)
    words, width = tensors.matrix("text_encoder.embeddings.word_embeddings.weight")
    layer = "text_encoder.encoder.layer.0"
    _, region_dim = tensors.matrix(f"{layer}.crossattention.self.key.weight")
    answers, hidden = tensors.matrix("classifier.weight")
    config = _part(bundle, "text_encoder", "config")
    vocabulary = _words(bundle)
    mapping.check_sizes("pieces of words", len(vocabulary), words, bundle.words or bundle.path)
    published = {len(CLASSES): CLASSES, len(ENDOVIS18): ENDOVIS18}
    if bundle.answers is None and answers in published:
        listed = AnswerList(published[answers], "none")
    else:
        location = bundle.beside("answers", f"known data set of {answers} of them", [])
        listed = mapping.answers_of(mapping.read_file(location), "none", answers, location)
    structure |= _heads("heads", width, config.get("num_attention_heads"))
    structure |= {"width": width, "hidden": hidden, "text_weights": None, "language_weights": None}
    structure["feed_forward"], _ = tensors.matrix(f"{layer}.intermediate.dense.weight")
    images = _image_input(encoder, _part(bundle, "visual_encoder", "config"))
    notes = ["images: frames of PitVQA are to be cut out as that data set's own program does"]
    notes += [] if encoder else [f"images: it holds no ViT, so {VIT} is used instead"]
    known = LAYOUT, "pitvqa", structure, tensors, made, lambda _: region_dim
    return mapping.Reading(*known, Words(vocabulary, listed), images, encoder, notes=tuple(notes))


def _heads(field: str, width: int, given: object) -> dict[str, int]:
    """How many heads: as the pickled config says, else as wide as usual, else not known."""
    if isinstance(given, int):
        return {field: given}
    return {} if width % HEAD_WIDTH else {field: width // HEAD_WIDTH}


def _part(bundle: mapping.Bundle, *names: str) -> Mapping[str, Any]:
    """Attributes of a part of the pickled module; none where the file holds a state dict."""
    found = bundle.value
    for name in mapping.WRAPPERS:
        found = bundle.part.get(name, found)
    for name in names:
        about = found.attributes if isinstance(found, Inert) else {}
        found = dict(about.get("_modules") or {}).get(name, about.get(name))
    return found.attributes if isinstance(found, Inert) else {}


def _image_input(encoder: mapping.Tensors, config: Mapping[str, Any]) -> mapping.ImageInput:
    """The ViT's sizes where they are not ViT-B/16's; frames as they were, not normalised."""
    zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    usual = mapping.ImageInput(VIT, 224, interpolation="bicubic", mean=zero, std=one)
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
    inner = [t.shape[0] for n, t in encoder.items() if re.search(r"(fc1|te\.dense)\.weight$", n)]
    options = {
        "hidden_size": width,
        "num_hidden_layers": encoder.count(r"(?:encoder\.layer|layers)\.(\d+)\."),
        "intermediate_size": inner[0] if inner else 4 * width,
        "image_size": size,
        "patch_size": patch,
        **_heads("num_attention_heads", width, config.get("num_attention_heads")),
    }
    other = {name: value for name, value in options.items() if VIT_B_16[name] != value}
    return usual._replace(size=size, options=other)


def _words(bundle: mapping.Bundle) -> Vocabulary:
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
