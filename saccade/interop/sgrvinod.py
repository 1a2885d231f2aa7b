"""Checkpoints of sgrvinod's tutorial on image captioning, and of the course that builds on it.

Keys and files as in the captioning specification, 1.3 and 2.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from saccade.core.errors import BadCheckpoint
from saccade.interop.checkpoint_mapping import (
    Bundle,
    ImageInput,
    Reading,
    Source,
    Tensors,
    below,
    beside,
    caption_words,
    check_sizes,
    count,
    matrix,
    read_file,
    require,
    skeleton,
    sources,
)
from saccade.interop.torch_files import Saved, tensors_of
from saccade.models.catalogue import ShowAttendTellConfig, ShowTellConfig
from saccade.text.vocabulary import Words

SGRVINOD = {
    "attention.encoder_att": "attention.key",
    "attention.decoder_att": "attention.query",
    "attention.full_att": "attention.score",
    "embedding": "embed",
    "decode_step": "lstm",
    "init_h": "init_hidden",
    "init_c": "init_memory",
    "f_beta": "gate",
    "fc": "output",
}
COURSE_NAMES = {
    "attention.encoder": "attention.encoder_att",
    "attention.decoder": "attention.decoder_att",
    "attention.att": "attention.full_att",
    "attention.fc": "attention.full_att",
    "beta": "f_beta",
}
"""Names of the same layers in the course write-up and its public copies."""
COURSE_RNN = {
    "embedding": "embed",
    "decode_step": "lstm",
    "init": "project_image",
    "bn": "norm",
    "fc": "output",
}
WITHOUT_ENCODER = "Leave the encoder out of the file and give its features with --store."
SIDE = 14
"""The tutorial's encoder hands out 14 x 14 cells, whatever the image's size."""

PARTS = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""The tutorial's encoder is a torchvision ResNet in a row: places by the names of old."""
RESNETS: dict[tuple[object, ...], str] = {
    ("basic", 2, 2, 2, 2): "resnet18",
    ("basic", 3, 4, 6, 3): "resnet34",
    ("bottleneck", 3, 4, 6, 3): "resnet50",
    ("bottleneck", 3, 4, 23, 3): "resnet101",
    ("bottleneck", 3, 8, 36, 3): "resnet152",
}


class Decoder(NamedTuple):
    """One of the tutorial's decoders."""

    layout: str
    recipe: str
    model: dict[str, Any]
    names: Mapping[str, str]
    region_dim: Callable[[Any], int]


def sgrvinod(bundle: Bundle) -> Reading:
    """Show, Attend and Tell, or the course's decoder without attention; whole pickled modules or
    state dicts, with or without the encoder.
    """
    tensors, encoder = _halves(bundle)
    tensors = _tutorial_names(tensors)
    decoder = _course_rnn(tensors) if "init.weight" in tensors else _attention(tensors)
    found = sorted(bundle.path.parent.glob("WORDMAP_*.json"))
    location = beside(bundle.path, bundle.words, found, "WORDMAP_*.json", "words")
    vocabulary = caption_words(read_file(location), location)
    check_sizes("words", len(vocabulary), matrix(tensors, "embedding.weight")[0], location)
    network, backbone = _resnet(encoder) if encoder else ("resnet101", {})
    images = ImageInput(f"timm:{network}.tv_in1k", 256)
    missing = f"images: it holds no encoder, so {images.backbone}, not fine-tuned, is used instead"
    return Reading(
        decoder.layout,
        decoder.recipe,
        decoder.model,
        tensors,
        lambda model: _cells(sources(model, decoder.names)),
        decoder.region_dim,
        Words(vocabulary),
        images,
        backbone,
        notes=() if backbone else (missing,),
    )


def _halves(bundle: Bundle) -> tuple[Tensors, Tensors]:
    """The decoder's tensors and the encoder's, which may be missing."""
    halves = []
    for half in ("decoder", "encoder"):
        names = (half, f"{half}_state_dict", f"{half}_state", f"{half}_dict")
        halves.append(next((t for n in names if (t := tensors_of(bundle.part.get(n)))), {}))
    decoder, encoder = halves
    if not decoder:
        whole = bundle.tensors()
        decoder, encoder = below(whole, "decoder.") or whole, below(whole, "encoder.")
    return decoder, encoder


def _tutorial_names(tensors: Tensors) -> Tensors:
    """The tutorial's names for what the course calls otherwise."""
    turned = {}
    for name, tensor in tensors.items():
        layer, _, leaf = name.rpartition(".")
        turned[f"{COURSE_NAMES.get(layer, layer)}.{leaf}"] = tensor
    return turned


def _attention(tensors: Tensors) -> Decoder:
    layout = "sgrvinod (DecoderWithAttention)"
    require(tensors, _cells(sources(skeleton(ShowAttendTellConfig()), SGRVINOD)), layout)
    attention, dim = matrix(tensors, "attention.encoder_att.weight")
    gates, hidden = matrix(tensors, "f_beta.weight")
    model = {
        "embedding": matrix(tensors, "embedding.weight")[1],
        "hidden": hidden,
        "attention": attention,
        "gate": "scalar" if gates == 1 < dim else "vector",
        "pool_size": SIDE,
    }
    return Decoder(layout, "show-attend-tell", model, SGRVINOD, lambda _: dim)


def _course_rnn(tensors: Tensors) -> Decoder:
    layout = "sgrvinod (DecoderWithRNN)"
    require(tensors, _cells(sources(skeleton(ShowTellConfig()), COURSE_RNN)), layout)
    embedding, width = matrix(tensors, "init.weight")
    model = {
        "embedding": embedding,
        "hidden": matrix(tensors, "decode_step.weight_hh")[1],
        "image_bias": True,
        "batch_norm": 0.1,
        "cell": "lstm",
        "cell_bias": True,
        "init_pool": "mean" if width % SIDE**2 else "flatten",
        "pool_size": SIDE,
    }

    def region_dim(model: Any) -> int:
        if model.init_pool == "mean":
            return width
        cells = (model.pool_size or 0) ** 2
        if not cells or width % cells:
            raise BadCheckpoint(
                f"{layout}: init.weight takes {width} numbers, which are not {cells} cells",
                hint="Say how many cells an image has: --set model.pool_size=SIDE.",
            )
        return width // cells

    return Decoder(layout, "show-tell", model, COURSE_RNN, region_dim)


def _cells(found: dict[str, Source]) -> dict[str, Source]:
    """An LSTM cell's tensors are called as an LSTM's, but for their layer."""
    return {
        key: Source(tuple(name.removesuffix("_l0") for name in source.names), source.turn)
        for key, source in found.items()
    }


def _resnet(encoder: Tensors) -> tuple[str, dict[str, Saved]]:
    """Which ResNet the tutorial's encoder is, and its tensors by the names of old.

    Raises BadCheckpoint where it is none of torchvision's.
    """
    turned = {}
    for name, tensor in encoder.items():
        found = re.fullmatch(r"\w+\.(\d+)\.(.+)", name)
        if found is None or found[1] not in PARTS:
            message = f"the encoder's tensor {name} is of no ResNet in a row"
            raise BadCheckpoint(message, hint=WITHOUT_ENCODER)
        turned[f"{PARTS[found[1]]}.{found[2]}"] = tensor
    block = "bottleneck" if "layer1.0.conv3.weight" in turned else "basic"
    blocks = [count(turned, rf"layer{stage}\.(\d+)\.") for stage in range(1, 5)]
    network = RESNETS.get((block, *blocks))
    if network is None:
        message = f"the encoder has {blocks} {block} blocks, which is no ResNet of torchvision"
        raise BadCheckpoint(message, hint=WITHOUT_ENCODER)
    return network, turned
