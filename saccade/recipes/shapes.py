"""The small form of a recipe, which learns the embedded Shapes world on one core."""

from saccade.config import Adam, DecodeConfig, FeaturesConfig, Recipe, TextConfig, TrainConfig
from saccade.models.catalogue import MODELS

SMALL_FEATURES = FeaturesConfig(backbone="timm:resnet18", size=224, resize="squash")
"""Of the small recipes: a network for photos, quick on a CPU. Shapes are so plain that a network
with random weights does for them, which the demonstration and the tutorial name themselves."""


def small_vqa(
    recipe: Recipe,
    title: str,
    *,
    learning_rate: float = 3e-3,
    epochs: int = 20,
    time: str = "a minute",
) -> Recipe:
    """The same recipe for the embedded Shapes world: its own model and loss, small and quick."""
    answers, optimiser = recipe.answers, Adam(learning_rate=learning_rate)
    assert answers is not None  # a VQA recipe cannot be built without
    return recipe.replace(
        about=f"A small {title} that learns Shapes in {time} on one core.",
        model=MODELS[recipe.model.kind].small,
        features=SMALL_FEATURES,
        text=recipe.text.replace(min_count=1),
        answers=answers.replace(min_count=1, summed=False),
        train=TrainConfig(epochs=epochs, batch_size=64, optimiser=optimiser),
    )


def small_captioner(recipe: Recipe, title: str, epochs: int = 4, **model: float) -> Recipe:
    """The same for a captioner."""
    return recipe.replace(
        about=f"A small {title} that learns Shapes in a minute.",
        model=MODELS[recipe.model.kind].small.replace(**model),
        features=SMALL_FEATURES,
        text=TextConfig(tokenizer="karpathy", min_count=1, max_length=50),
        train=TrainConfig(
            epochs=epochs,
            batch_size=64,
            samples_per_image=1,  # so small a batch learns more from many images than from few
            optimiser=Adam(learning_rate=3e-3),
            clip_value=5.0,
        ),
        decode=DecodeConfig(beam_size=3),
    )
