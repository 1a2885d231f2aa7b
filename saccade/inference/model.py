"""Model of a recipe, alone or behind an image encoder, and of a run, with its best weights."""

import torch
from torch import nn

from saccade.config import Recipe
from saccade.core.errors import BadConfig, BadRun
from saccade.core.tensors import load_weights
from saccade.data.batch import Sizes
from saccade.features.settings import Preprocessing
from saccade.models.catalogue import build_model
from saccade.models.encoder import EncodedModel, EncoderSpec
from saccade.run_folder import OpenedRun


def build(
    recipe: Recipe, sizes: Sizes, preprocessing: Preprocessing, *, read_weights: bool = False
) -> nn.Module:
    """Make a recipe's model with fresh weights; `sizes` and `preprocessing` are the store's.

    An encoder's own weights are read only with `read_weights`, when a run is new; else they are
    random, to be filled with a run's. Raises BadConfig for an encoder that does not fit the
    recipe, MissingWeights.
    """
    config = recipe.encoder
    if config is None:
        return build_model(recipe.model, sizes)
    # Imported here: a model without an encoder need not wait for these.
    from saccade.features.backbones import choose_backbone  # noqa: PLC0415
    from saccade.features.finetuning import forget_activations, weights_from  # noqa: PLC0415

    weights = config.weights if read_weights else "random"
    with torch.random.fork_rng(devices=[]):  # the model starts as it would without an encoder
        side = preprocessing.height
        backbone = choose_backbone(config.backbone, weights, config.options, size=side)
    # A folder of weights may bring sizes along. The recipe must hold them, for a run is opened
    # again without that folder. The size of images is the store's.
    options = backbone.spec.options
    given = (config.options | {"img_size": options.get("img_size")}).items()
    if lacking := {name: value for name, value in options.items() if (name, value) not in given}:
        words = ",".join(f"{name}={value}" for name, value in (config.options | lacking).items())
        hint = f"Say them: --set encoder.options={words}"
        message = "the encoder's weights are of a network of other sizes than the recipe says"
        raise BadConfig(message, location=config.weights, hint=hint)
    (rows, columns), dim = backbone.measure(preprocessing)
    boxes = backbone.boxes((rows, columns))
    grid = None if backbone.kept_tokens else (rows, columns)
    model = build_model(recipe.model, sizes._replace(region_dim=dim, grid=grid, regions=len(boxes)))
    trained = weights_from(backbone.model, config.trains_from) if config.trains_from else ()
    if config.checkpointing:
        forget_activations(backbone.model)
    size = preprocessing.height, preprocessing.width
    sight = EncoderSpec(size, preprocessing.mean, preprocessing.std, grid, boxes)
    trainable = frozenset(f"model.{name}" for name in trained)
    return EncodedModel(backbone, model, config, sight, trainable)


def load_model(run: OpenedRun) -> nn.Module:
    """Build a run's model and fill it with its best weights, in eval mode. Raises BadRun."""
    header = run.header
    model = build(header.recipe, header.sizes, header.store.preprocessing)
    hint = "The file belongs to another run; put the right one back or train again."
    path = run.path / "model.safetensors"
    load_weights(model, path, hint)
    if any(bool(weights.isnan().any()) for weights in model.parameters()):
        hint = "Train again, with a lower learning rate."
        raise BadRun("some weights are no numbers (NaN)", location=path, hint=hint)
    return model.eval()
