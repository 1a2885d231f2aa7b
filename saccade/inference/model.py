"""Model of a recipe, alone or behind an image encoder, and of a run or an ensemble of runs, with
its best weights."""

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from saccade.config import Recipe
from saccade.core.errors import BadRun
from saccade.core.tensors import load_weights
from saccade.data.batch import Sizes
from saccade.features.settings import Preprocessing
from saccade.models.catalogue import build_model
from saccade.models.encoder import EncodedModel, EncoderSpec
from saccade.models.ensemble import Ensemble
from saccade.run_folder import OpenedRun

if TYPE_CHECKING:
    from saccade.features.backbones import Backbone


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


def with_own_sizes(recipe: Recipe, model: nn.Module) -> Recipe:
    """The recipe with the sizes that the encoder's weights have brought along from their folder: a
    run is opened again without it.
    """
    if recipe.encoder is None or not isinstance(model, EncodedModel):
        return recipe
    spec, given = cast("Backbone", model.encoder).spec, recipe.encoder.options
    # The size of images is the store's.
    options = {n: value for n, value in spec.options.items() if n != "img_size" or n in given}
    return recipe.replace(encoder=recipe.encoder.replace(options=options))


def untrained_model(run: OpenedRun, seed: int = 0) -> nn.Module:
    """A run's model with weights drawn anew, those of an encoder too, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build(run).eval()


def _build(run: OpenedRun) -> nn.Module:
    """The model of a run, or of each member of an ensemble, with fresh weights."""
    header = run.header
    made = header.recipe, header.sizes, header.store.preprocessing
    if not header.members:
        return build(*made)
    answers = header.recipe.answers
    logistic = answers is not None and answers.loss == "logistic"
    return Ensemble([build(*made) for _ in header.members], logistic=logistic)


def load_model(run: OpenedRun) -> nn.Module:
    """Build a run's model and fill it with its best weights, in eval mode. Raises BadRun."""
    model = _build(run)
    hint = "The file belongs to another run; put the right one back or train again."
    path = run.path / "model.safetensors"
    load_weights(model, path, hint)
    if any(bool(weights.isnan().any()) for weights in model.parameters()):
        hint = "Train again, with a lower learning rate."
        raise BadRun("some weights are no numbers (NaN)", location=path, hint=hint)
    return model.eval()
