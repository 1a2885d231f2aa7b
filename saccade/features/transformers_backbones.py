"""Vision transformers of Hugging Face's `transformers` as backbones: every token is a region.

timm's are grids without the class token. Systems such as PitVQA-Net attend to it too, so here the
output is all of `ViTModel.last_hidden_state`, class token first (197 x 768 for ViT-B/16).
"""

import json
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_url
from torch import Tensor, nn

from saccade.core.errors import BadConfig, BadData, MissingWeights
from saccade.core.weights import HUB_FILE, fetch_and_put, from_hub, weights_folder
from saccade.features.networks import InputConfig, cannot_build, fixed_seed, misfit, read_weights
from saccade.features.settings import BackboneSpec, Option

CONFIG = "config.json"
SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("image_size", "patch_size", "hidden_act", "layer_norm_eps", "qkv_bias"),
)
"""Options of a network: fields of `ViTConfig`. Without any it is ViT-B/16 for 224 pixels."""
NAMES = (
    (r"^vit\.", ""),
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.attention\.([qkv])(?:uery|ey|alue)\.", r".attention.\1_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)
"""Names in published files (of transformers 4), and those of transformers 5."""


class Tokens(nn.Module):
    """A `ViTModel` without its pooler, with the methods of timm's networks."""

    kept_tokens = 1
    """The class token in front, which belongs to no patch, is a region too."""

    def __init__(self, options: Mapping[str, Option]) -> None:
        super().__init__()
        library: Any = import_module("transformers")  # seconds that only these networks cost
        self.config = library.ViTConfig(**options)
        self.vit = library.ViTModel(self.config, add_pooling_layer=False)

    def forward_features(self, images: Tensor) -> Tensor:
        """From images `(B, 3, h, w)` to tokens `(B, 1 + patches, D)`.

        Positions are interpolated for another size than the network's own. Raises ValueError for
        sides that are not whole patches.
        """
        sides, patch = tuple(images.shape[-2:]), self.config.patch_size
        if min(sides) < 1 or any(side % patch for side in sides):
            raise ValueError(f"patches have {patch} pixels a side")
        own = sides == (self.config.image_size, self.config.image_size)
        tokens: Tensor = self.vit(images, interpolate_pos_encoding=not own).last_hidden_state
        return tokens

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns of the weights of each stage, in timm's form: every layer is a stage."""
        layers = [(r"^vit\.layers\.(\d+)", None), (r"^vit\.layernorm", (99999,))]
        return {"stem": r"^vit\.embeddings", "blocks": layers}


def prepare(
    network: str, weights: str, options: Mapping[str, Option], size: int | None
) -> tuple[dict[str, Option], Path | None]:
    """The network's sizes, those of its own folder included, and its weights file.

    Positions are interpolated, so `size` needs no network of its own. Raises BadConfig for an
    option that is not in SIZES and for a folder of another network, MissingWeights.
    """
    if strange := sorted(options.keys() - set(SIZES)):
        hint = f"There are: {', '.join(SIZES)}."
        raise BadConfig(f"a vision transformer has no --option {strange[0]}", hint=hint)
    file = _find(network, weights)
    config = file.with_name(CONFIG) if file is not None and file.name == HUB_FILE else None
    if config is None or not config.is_file():
        return dict(options), file
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
        kind, channels = values.get("model_type"), values.get("num_channels", 3)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise BadData(f"unreadable ({error})", location=config, hint="Copy it again.") from None
    if kind != "vit" or channels != 3:
        message = f"describes {kind} of {channels} colours, not a ViT of 3"
        raise BadConfig(message, location=config, hint="Give a ViT.")
    default = import_module("transformers").ViTConfig()
    other = {n: values[n] for n in SIZES if n in values and values[n] != getattr(default, n)}
    if strange := [name for name, value in other.items() if not isinstance(value, Option)]:
        message = f"{strange[0]} is {other[strange[0]]}, which is no plain number"
        raise BadConfig(message, location=config, hint="Give a ViT for square images.")
    return {**other, **options}, file


def _find(network: str, weights: str) -> Path | None:
    """The weights file of a network; None for "random".

    `weights` is such a file, its folder, or one above, also in $SACCADE_WEIGHTS; "hub" takes the
    network's from there, else from the hub's cache, else from the hub. Raises MissingWeights.
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
    files = (CONFIG, HUB_FILE)
    hint = fetch_and_put(
        [hf_hub_url(network, file) for file in files],
        [f"{name}/{file}" for file in files],
        "give the folder of both to extract with --weights DIR (--weights random is for trials)",
    )
    if weights != "hub":
        message = f"no weights {Path(weights).name!r}"
        hint = f"--weights is a folder of {CONFIG} and {HUB_FILE}, or such a file. {hint}"
        raise MissingWeights(message, location="; ".join(dict.fromkeys(map(str, given))), hint=hint)
    from_hub(network, CONFIG, network, hint)
    return from_hub(network, HUB_FILE, network, hint)


def create_network(spec: BackboneSpec, file: Path | None) -> nn.Module:
    """A network of the spec's sizes, with all weights from a file, or else random ones."""
    try:
        with fixed_seed():
            model = Tokens(spec.options)
    except Exception as error:  # sizes that contradict each other
        raise cannot_build("transformers cannot build a ViT", spec.options, error) from None
    if file is not None:
        found = {}  # by today's names, without what stands behind the tokens
        for name, value in read_weights(file).items():
            if not name.removeprefix("vit.").startswith(("pooler.", "classifier.")):
                for old, new in NAMES:
                    name = re.sub(old, new, name)  # noqa: PLW2901 - one name, brought up to date
                found[name] = value
        wanted, shapes = model.vit.state_dict(), {n: tuple(v.shape) for n, v in found.items()}
        if shapes != {name: tuple(value.shape) for name, value in wanted.items()}:
            raise misfit(spec, file, wanted, shapes)
        model.vit.load_state_dict(found)
    return model


def input_config(spec: BackboneSpec) -> InputConfig:
    """The defaults of `ViTImageProcessor`, as for Google's networks."""
    side, half = int(spec.options.get("image_size", 224)), (0.5, 0.5, 0.5)
    return InputConfig(side, side, None, half, half, "bilinear")
