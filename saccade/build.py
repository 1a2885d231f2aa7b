"""From a recipe to a model: alone, or behind an encoder that looks at pixels.

Training and loading build here, so that a run's weights always find the model they were made with.
"""

from collections.abc import Mapping

import torch
from torch import nn

from saccade.config import Recipe, TrainConfig, WeightRule
from saccade.core.errors import BadConfig
from saccade.data.batch import Sizes
from saccade.features.preprocessing import Option, Preprocessing
from saccade.models.catalogue import build_model
from saccade.models.encoder import EncoderConfig, Pixels, Sight


def build(
    recipe: Recipe, sizes: Sizes, preprocessing: Preprocessing, *, read_weights: bool = False
) -> nn.Module:
    """Make a recipe's model with fresh weights; `sizes` and `preprocessing` are the store's.

    An encoder's own weights are read only with `read_weights`, when a run begins; else they are
    random, to be filled with a run's. Raises BadConfig for an encoder that does not fit the
    recipe, MissingWeights.
    """
    config = recipe.encoder
    if config is None:
        return build_model(recipe.model, sizes)
    # Seconds that only an encoder has to wait for.
    from saccade.features.backbones import choose_backbone  # noqa: PLC0415
    from saccade.features.finetuning import forget_activations, weights_from  # noqa: PLC0415

    weights = config.weights if read_weights else "random"
    with torch.random.fork_rng(devices=[]):  # the model begins as it would without an encoder
        eye = choose_backbone(config.backbone, weights, config.options, size=preprocessing.height)
    _refuse_untold(config, eye.spec.options)
    (rows, columns), dim = eye.measure(preprocessing)
    boxes = eye.boxes((rows, columns))
    grid = None if eye.kept_tokens else (rows, columns)
    model = build_model(recipe.model, sizes._replace(region_dim=dim, grid=grid, regions=len(boxes)))
    learns = weights_from(eye.model, config.trains_from) if config.trains_from else frozenset()
    if config.checkpointing:
        forget_activations(eye.model)
    return Pixels(
        eye,
        model,
        config,
        Sight(
            (preprocessing.height, preprocessing.width),
            preprocessing.mean,
            preprocessing.std,
            grid,
            boxes,
        ),
        frozenset(f"model.{name}" for name in learns),
    )


def _refuse_untold(config: EncoderConfig, options: Mapping[str, Option]) -> None:
    """A folder of weights may bring sizes along; loading the run must know them without it."""
    size = {"img_size"}  # follows from the store
    told = config.options.items()
    if untold := {k: v for k, v in options.items() if (k, v) not in told and k not in size}:
        words = ",".join(f"{name}={value}" for name, value in (config.options | untold).items())
        raise BadConfig(
            "the encoder's weights are of a network of other sizes than the recipe says",
            where=config.weights,
            cure=f"Say them: --set encoder.options={words}",
        )


def training_of(recipe: Recipe) -> TrainConfig:
    """How to train what `build` makes: rules for weights by the names that they have there."""
    config, encoder = recipe.train, recipe.encoder
    if encoder is None:
        return config
    rules = {f"model.{begin}": rule for begin, rule in config.rules.items()}
    if encoder.learning_rate is not None:
        rate = encoder.learning_rate / config.optimiser.learning_rate
        rules["encoder."] = WeightRule(rate=rate)
    return config.model_copy(update={"rules": rules})
