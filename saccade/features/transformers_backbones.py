"""Vision transformers of Hugging Face's `transformers`, every token of which is a region.

timm's are grids: their class token is dropped. Systems such as PitVQA-Net look at it too, so here
`ViTModel.last_hidden_state` is handed out whole, class token first (197 x 768 for ViT-B/16).
"""

import json
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_url
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from saccade.core.errors import BadConfig, BadData, MissingWeights
from saccade.core.weights import HUB_FILE, fetch_and_put, from_hub, weights_folder
from saccade.features.settings import BackboneSpec, Option
from saccade.features.timm_backbones import SEED, TrainedOn, misfit

ABOUT = "config.json"
SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("image_size", "patch_size", "hidden_act", "layer_norm_eps", "qkv_bias"),
)
"""What may be told of a network: fields of `ViTConfig`. Without any it is ViT-B/16 for 224 pixels.
"""
NAMES = (
    (r"^vit\.", ""),
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.attention\.([qkv])(?:uery|ey|alue)\.", r".attention.\1_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)
"""From the names in published files (of transformers 4) to those of transformers 5."""


class Tokens(nn.Module):
    """A `ViTModel` without its pooler, which is asked as timm's networks are."""

    kept_tokens = 1
    """The class token in front, which belongs to no patch, is a region too."""

    def __init__(self, options: Mapping[str, Option]) -> None:
        super().__init__()
        library: Any = import_module("transformers")  # seconds that only these networks cost
        self.about = library.ViTConfig(**options)
        self.vit = library.ViTModel(self.about, add_pooling_layer=False)

    def forward_features(self, images: Tensor) -> Tensor:
        """From images `(B, 3, h, w)` to tokens `(B, 1 + patches, D)`.

        Positions are interpolated for another size than the network's own. Raises ValueError for
        sides that are not whole patches.
        """
        sides, patch = tuple(images.shape[-2:]), self.about.patch_size
        if min(sides) < 1 or any(side % patch for side in sides):
            raise ValueError(f"patches have {patch} pixels a side")
        own = sides == (self.about.image_size, self.about.image_size)
        tokens: Tensor = self.vit(images, interpolate_pos_encoding=not own).last_hidden_state
        return tokens

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Which weights belong to which stage, as timm's networks say it: every layer is one."""
        del coarse
        layers = [(r"^vit\.layers\.(\d+)", None), (r"^vit\.layernorm", (99999,))]
        return {"stem": r"^vit\.embeddings", "blocks": layers}


def prepare(
    network: str, weights: str, options: Mapping[str, Option], size: int | None
) -> tuple[dict[str, Option], Path | None]:
    """The network's sizes, those of its own folder included, and its weights file.

    Positions are interpolated, so `size` needs no network of its own. Raises BadConfig for an
    option that is not in SIZES and for a folder of another network, MissingWeights.
    """
    del size
    if strange := sorted(options.keys() - set(SIZES)):
        hint = f"There are: {', '.join(SIZES)}."
        raise BadConfig(f"a vision transformer has no --option {strange[0]}", hint=hint)
    file = _find(network, weights)
    about = file.with_name(ABOUT) if file is not None and file.name == HUB_FILE else None
    own = _sizes_in(about) if about is not None and about.is_file() else {}
    return {**own, **options}, file


def _find(network: str, weights: str) -> Path | None:
    """The weights file of a network; None for "random".

    `weights` is a file or a folder of `config.json` and `model.safetensors`, or a folder of such
    folders, also one in the folder $SACCADE_WEIGHTS; "hub" takes the network's from there, else
    from the hub's cache, else from the hub. Raises MissingWeights.
    """
    if weights == "random":
        return None
    name, folder = network.rpartition("/")[2], weights_folder()
    wanted = [network, name] if weights == "hub" else [weights]
    given = [] if weights == "hub" else [Path(weights)]
    given += [folder / one for one in wanted] if folder else []
    for path in [*given, *(path / name for path in given)]:
        file = path / HUB_FILE if path.is_dir() else path
        if file.is_file():
            return file
    files = (ABOUT, HUB_FILE)
    hint = fetch_and_put(
        [hf_hub_url(network, file) for file in files],
        [f"{name}/{file}" for file in files],
        "give the folder of both to extract with --weights DIR (--weights random is for trials)",
    )
    if weights != "hub":
        raise MissingWeights(
            f"no weights {Path(weights).name!r}",
            location="; ".join(dict.fromkeys(map(str, given))),
            hint=f"--weights is a folder of {ABOUT} and {HUB_FILE}, or such a file. {hint}",
        )
    from_hub(network, ABOUT, network, hint)
    return from_hub(network, HUB_FILE, network, hint)


def create_network(spec: BackboneSpec, file: Path | None) -> nn.Module:
    """Build a network of the spec's sizes, with all weights from a file, or else random ones."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            model = Tokens(spec.options)
    except Exception as error:  # sizes that contradict each other
        given = ", ".join(f"{name}={value}" for name, value in spec.options.items()) or "none"
        raise BadConfig(
            f"transformers cannot build a ViT with options {given} "
            f"({str(error).splitlines()[0][:150]})",
            hint="Change or leave out --option.",
        ) from None
    if file is not None:
        wanted, found = model.vit.state_dict(), _tensors(file)
        fitting = found.keys() == wanted.keys() and all(
            found[name].shape == wanted[name].shape for name in found
        )
        if not fitting:
            shapes = {name: tuple(value.shape) for name, value in found.items()}
            raise misfit(spec, file, wanted, shapes)
        model.vit.load_state_dict(found)
    return model


def trained_on(spec: BackboneSpec) -> TrainedOn:
    """What `ViTImageProcessor` does unless told otherwise, as for Google's networks."""
    side, half = int(spec.options.get("image_size", 224)), (0.5, 0.5, 0.5)
    return TrainedOn(side, side, None, half, half, "bilinear")


def _sizes_in(about: Path) -> dict[str, Option]:
    """The sizes that a `config.json` gives and that are not the default."""
    try:
        values = json.loads(about.read_text(encoding="utf-8"))
        kind, channels = values.get("model_type"), values.get("num_channels", 3)
    except (OSError, ValueError, AttributeError) as error:
        raise BadData(f"unreadable ({error})", location=about, hint="Copy it again.") from None
    if kind != "vit" or channels != 3:
        raise BadConfig(
            f"describes {kind} of {channels} colours, not a ViT of 3",
            location=about,
            hint="Give a ViT.",
        )
    default = import_module("transformers").ViTConfig()
    other = {n: values[n] for n in SIZES if n in values and values[n] != getattr(default, n)}
    if strange := [name for name, value in other.items() if not isinstance(value, Option)]:
        message = f"{strange[0]} is {other[strange[0]]}, which is no plain number"
        raise BadConfig(message, location=about, hint="Give a ViT for square images.")
    return other


def _tensors(file: Path) -> dict[str, Tensor]:
    """A file's tensors by today's names, without what stands behind the tokens."""
    try:
        found = load_file(file)
    except (SafetensorError, OSError) as error:
        raise BadData(
            f"not a file of weights that can be read safely ({str(error).splitlines()[0][:200]})",
            location=file,
            hint="Copy it again from where it came; it must be a safetensors file.",
        ) from None
    return {
        _today(name): value
        for name, value in found.items()
        if not name.removeprefix("vit.").startswith(("pooler.", "classifier."))
    }


def _today(name: str) -> str:
    for old, new in NAMES:
        name = re.sub(old, new, name)
    return name
