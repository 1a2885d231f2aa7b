"""Checkpoints of sgrvinod's tutorial on image captioning, and of the course that builds on it.

Keys and files as in the captioning specification, 1.3 and 2.
"""

import re
from typing import Any

from torch import nn

from saccade.core.errors import BadCheckpoint
from saccade.interop import checkpoint_mapping as mapping
from saccade.interop.torch_files import tensors_of
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


def sgrvinod(bundle: mapping.Bundle) -> mapping.Reading:
    """Show, Attend and Tell, or the course's decoder without attention; whole pickled modules or
    state dicts, with or without the encoder.
    """
    tensors, encoder = _halves(bundle)
    course = "init.weight" in tensors
    layout = f"sgrvinod ({'DecoderWithRNN' if course else 'DecoderWithAttention'})"
    names = COURSE_RNN if course else SGRVINOD

    def made(model: nn.Module) -> dict[str, mapping.Source]:
        # An LSTM cell's tensors are called as an LSTM's, but for their layer.
        found = ((key, source.names[0]) for key, source in mapping.sources(model, names).items())
        return {key: mapping.Source((name.removesuffix("_l0"),)) for key, name in found}

    empty = mapping.skeleton(ShowTellConfig() if course else ShowAttendTellConfig())
    tensors.require(made(empty), layout)
    words, embedding = tensors.matrix("embedding.weight")
    _, width = tensors.matrix("init.weight" if course else "attention.encoder_att.weight")

    def region_dim(model: Any) -> int:
        if not course or model.init_pool == "mean":
            return width
        cells = (model.pool_size or 0) ** 2
        if not cells or width % cells:
            message = f"{layout}: init.weight takes {width} numbers, which are not {cells} cells"
            hint = "Say how many cells an image has: --set model.pool_size=SIDE."
            raise BadCheckpoint(message, hint=hint)
        return width // cells

    location = bundle.beside("words", "WORDMAP_*.json")
    vocabulary = mapping.caption_words(mapping.read_file(location), location)
    mapping.check_sizes("words", len(vocabulary), words, location)
    network, backbone = _resnet(encoder) if encoder else ("resnet101", mapping.Tensors())
    images = mapping.ImageInput(f"timm:{network}.tv_in1k", 256)
    missing = f"images: it holds no encoder, so {images.backbone}, not fine-tuned, is used instead"
    recipe, notes = "show-tell" if course else "show-attend-tell", () if backbone else (missing,)
    model = {"pool_size": SIDE, "embedding": embedding, **_sizes(tensors, course, width)}
    known = layout, recipe, model, tensors, made, region_dim
    return mapping.Reading(*known, Words(vocabulary), images, backbone, notes=notes)


def _sizes(tensors: mapping.Tensors, course: bool, width: int) -> dict[str, Any]:
    """Fields of the model; `width` is how many numbers the layer takes that sees the image."""
    if course:
        return {
            "embedding": tensors.matrix("init.weight")[0],
            "hidden": tensors.matrix("decode_step.weight_hh")[1],
            "image_bias": True,
            "batch_norm": 0.1,
            "cell": "lstm",
            "cell_bias": True,
            "init_pool": "mean" if width % SIDE**2 else "flatten",
        }
    gates, hidden = tensors.matrix("f_beta.weight")
    return {
        "hidden": hidden,
        "attention": tensors.matrix("attention.encoder_att.weight")[0],
        "gate": "scalar" if gates == 1 < width else "vector",
    }


def _halves(bundle: mapping.Bundle) -> tuple[mapping.Tensors, mapping.Tensors]:
    """The decoder's tensors, by the tutorial's names, and the encoder's, which may be missing."""
    halves = []
    for half in ("decoder", "encoder"):
        names = (half, f"{half}_state_dict", f"{half}_state", f"{half}_dict")
        found = next((t for n in names if (t := tensors_of(bundle.part.get(n)))), {})
        halves.append(mapping.Tensors(found))
    decoder, encoder = halves
    if not decoder:
        whole = bundle.tensors()
        decoder, encoder = whole.below("decoder.") or whole, whole.below("encoder.")
    turned = mapping.Tensors()
    for name, tensor in decoder.items():
        layer, _, leaf = name.rpartition(".")
        turned[f"{COURSE_NAMES.get(layer, layer)}.{leaf}"] = tensor
    return turned, encoder


def _resnet(encoder: mapping.Tensors) -> tuple[str, mapping.Tensors]:
    """Which of torchvision's ResNets the tutorial's encoder is, and its tensors by their names."""
    turned = mapping.Tensors()
    for name, tensor in encoder.items():
        found = re.fullmatch(r"\w+\.(\d+)\.(.+)", name)
        if found is None or found[1] not in PARTS:
            message = f"the encoder's tensor {name} is of no ResNet in a row"
            raise BadCheckpoint(message, hint=WITHOUT_ENCODER)
        turned[f"{PARTS[found[1]]}.{found[2]}"] = tensor
    block = "bottleneck" if "layer1.0.conv3.weight" in turned else "basic"
    blocks = [turned.count(rf"layer{stage}\.(\d+)\.") for stage in range(1, 5)]
    network = RESNETS.get((block, *blocks))
    if network is None:
        message = f"the encoder has {blocks} {block} blocks, which is no ResNet of torchvision"
        raise BadCheckpoint(message, hint=WITHOUT_ENCODER)
    return network, turned
