"""How to train, whatever the model: optimiser, learning rate over time, clipping, stopping."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from saccade.core.settings import Frozen


class Adam(Frozen):
    """Kingma & Ba 2015."""

    kind: Literal["adam"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)


class Adamax(Frozen):
    """Adam with the largest instead of the mean square. Kingma & Ba 2015, section 7.1."""

    kind: Literal["adamax"] = "adamax"
    learning_rate: float = Field(2e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)


class RmsProp(Frozen):
    """Gradients by their recent root mean square. Tieleman & Hinton 2012."""

    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: float = Field(3e-4, gt=0)
    smoothing: float = Field(0.99, ge=0, lt=1)
    momentum: float = Field(0.0, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)


class Sgd(Frozen):
    """Gradient descent with momentum."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)


Optimiser = Annotated[Adam | Adamax | RmsProp | Sgd, Field(discriminator="kind")]


class Constant(Frozen):
    """The learning rate stays as it is."""

    kind: Literal["constant"] = "constant"


class HalfLife(Frozen):
    """The learning rate falls smoothly, by half every so many steps."""

    kind: Literal["half_life"] = "half_life"
    steps: int = Field(50_000, ge=1)


class OnPlateau(Frozen):
    """The learning rate is multiplied by `factor` after every `patience` epochs without a best."""

    kind: Literal["on_plateau"] = "on_plateau"
    factor: float = Field(0.8, gt=0, lt=1)
    patience: int = Field(8, ge=1)


class InverseRoot(Frozen):
    """The learning rate rises in a line for `rise` steps and falls with the root of time after
    (Vaswani et al. 2017, section 5.3); the optimiser's own rate is the highest."""

    kind: Literal["inverse_root"] = "inverse_root"
    rise: int = Field(20_000, ge=1)


class Stairs(Frozen):
    """The learning rate rises in a line at first and is multiplied by `factor` at each fall."""

    kind: Literal["stairs"] = "stairs"
    unit: Literal["step", "epoch"] = "epoch"
    rise: int = Field(0, ge=0)
    """So many units until the full learning rate."""
    begin: float = Field(1.0, gt=0)
    """What the rise begins with, as a share of the full rate."""
    falls: tuple[int, ...] = ()
    """After so many units each."""
    factor: float = Field(0.1, gt=0)


Schedule = Annotated[
    Constant | HalfLife | OnPlateau | InverseRoot | Stairs, Field(discriminator="kind")
]


class WeightRule(Frozen):
    """What is special about some weights."""

    rate: float = Field(1.0, gt=0)
    """Their learning rate, as a multiple of everybody's."""
    l2: bool = True
    """Whether `train.l2` holds for them."""
    longest: float | None = Field(None, gt=0)
    """After each step a longer weight tensor is scaled down to this norm."""


class Switched(Frozen):
    """Settings that are none unless they are wanted; the word `on` means their defaults."""

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, given: Any) -> Any:
        if isinstance(given, str) and given != "on":
            raise ValueError("write on or none; then set its fields")
        return {} if given == "on" else given


class ScheduledSampling(Switched):
    """A captioner hears more and more of its own words while it learns. Bengio et al. 2015,
    arXiv:1506.03099; the defaults are those of ruotianluo's self-critical.pytorch."""

    step: float = Field(0.05, gt=0, le=1)
    """So much the probability of a word of its own rises,"""
    every: int = Field(5, ge=1)
    """every so many epochs,"""
    most: float = Field(0.25, gt=0, le=1)
    """up to this."""
    first_epoch: int = Field(0, ge=0)
    """Epochs are counted from here; before it all words are human."""


class SelfCritical(Switched):
    """Learn from the CIDEr-D of drawn captions instead of from human words. Rennie et al., CVPR
    2017, arXiv:1612.00563; the defaults are those of ruotianluo's self-critical.pytorch."""

    samples: int = Field(5, ge=1)
    """Captions drawn of each picture."""
    baseline: Literal["greedy", "others"] = "greedy"
    """What a caption must be better than: the picture's greedy caption, or the mean of the other
    samples ("new self-critical"), which needs no greedy decoding."""

    @model_validator(mode="after")
    def _has_others(self) -> Self:
        if self.baseline == "others" and self.samples < 2:
            raise ValueError("baseline=others compares samples: set samples to 2 or more")
        return self


class TrainConfig(Frozen):
    """How to train, whatever the model."""

    epochs: int = Field(50, ge=1)
    batch_size: int = Field(128, ge=1)
    """Questions or captions, not pictures; pictures where training is self-critical."""
    per_picture: int | None = Field(None, ge=1)
    """At most so many questions or captions of one picture stand side by side in a batch and
    share its features; none takes all of them, 1 mixes pictures freely and is slower."""
    optimiser: Optimiser = Adam()
    schedule: Schedule = Constant()
    clip_value: float | None = Field(None, gt=0)
    """Every element of the gradient is kept within plus and minus this; none leaves it alone."""
    clip_norm: float | None = Field(None, gt=0)
    """The gradient is scaled down to this norm; none leaves it alone."""
    clip_each: float | None = Field(None, gt=0)
    """The gradient of every weight tensor by itself is scaled down to this norm."""
    l2: float = Field(0.0, ge=0)
    """So many times a weight is added to its gradient, before clipping."""
    shrink: float = Field(0.0, ge=0)
    """After each step a weight loses so many times the learning rate of itself."""
    rules: dict[str, WeightRule] = Field({})
    """Rules for the weights whose names begin so."""
    scheduled_sampling: ScheduledSampling | None = None
    """Captions: none always hears the human words; `on` takes the published settings."""
    self_critical: SelfCritical | None = None
    """Captions: none learns from human words; `on` takes the published settings. Such a run goes
    on from one that has learnt to speak (`saccade train RECIPE --from RUN`)."""
    select_by: str | None = None
    """The validation score that chooses the best epoch; none is the task's own."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many epochs without a better validation score; none runs them all."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    workers: int = Field(0, ge=0)
    """Processes that read features; 0 reads in the training process, which a warm page cache and a
    CPU run want."""
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _one_way_to_clip(self) -> Self:
        if sum(x is not None for x in (self.clip_value, self.clip_norm, self.clip_each)) > 1:
            raise ValueError("of clip_value, clip_norm and clip_each set all but one to none")
        return self

    @model_validator(mode="after")
    def _one_teacher(self) -> Self:
        if self.scheduled_sampling and self.self_critical:
            raise ValueError(
                "self-critical training hears no human words: set scheduled_sampling=none"
            )
        return self
