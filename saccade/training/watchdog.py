"""Watchdog of a run: sees while it trains that it cannot become what it was meant to be.

It warns first, and stops a run only where it cannot recover. Each thing is said once, with its
cause and what to do, and stands as `findings` in the epoch's row of `log.jsonl`, from where
`evaluate` takes it into `scores.json`.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from saccade.checks.catalogue import finding
from saccade.config import TrainConfig
from saccade.core.errors import BadRun, BadStore, SaccadeError
from saccade.core.tasks import TASK_INFO
from saccade.data.batch import Batch
from saccade.data.checks import Finding
from saccade.data.examples import epoch_order
from saccade.data.folder import DataFolder
from saccade.evaluation.baselines import baselines_of_captions, blind_answers
from saccade.evaluation.scoring import ScoredExamples, ScoreOptions
from saccade.evaluation.verdict import BASELINES
from saccade.metrics.catalogue import METRICS
from saccade.training.optim import ScheduleState

if TYPE_CHECKING:
    from saccade.training.loop import Progress, TrainingLoop

FIRST_STEPS = 50
"""Steps that a loss may take to come down to where a model that knows nothing is."""
FAR_TOO_HIGH = 10
"""A loss so many times that of equal probabilities is one of weights that diverged."""
UNCHANGED_STEPS, SAME = 150, 1e-4
"""Steps in which a loss stands still that is the same to four digits."""
GRADIENT_EVERY = 10
"""Steps between two measurements of the gradient's norm."""
EXPLODED = 1000
"""A gradient so many times as long as the first ones explodes."""
FAIR_EPOCHS, FAIR_SHARE, FAIR_STEPS = 3, 0.1, 1000
"""Before so many epochs, such a share of the run and so many steps no prediction stops a run."""
LEAST_STEPS = 100
"""A whole run of fewer steps has learnt nothing yet, which is told elsewhere."""
NOT_FALLING = 0.99
ONE, EXPECTED, FEW = 0.95, 0.8, 20
"""Share of the predictions that are one; its share of human answers that explains it; predictions
that are too few to tell."""
BY_HEART = 90.0
"""Percent of the training examples that are right while validation is not better than chance."""
EASY, EASY_PRIOR = 90, 85
WAITING, WAITING_SECONDS = 0.5, 20
PRIOR_SECONDS, PRIOR_SECONDS_EACH, PRIOR_SHARE = 1.0, 1e-4, 0.02
"""Seconds that a classifier of questions takes, and the share of training that it may take."""
LARGE_FEATURE = 1e5
"""No backbone makes features of this size; squares and sums of such soon leave float32."""
RATE = "train.optimiser.learning_rate"


class Watchdog:
    """What a run's losses, gradients and predictions tell about it."""

    def __init__(
        self,
        config: TrainConfig | None = None,
        uniform_loss: float | None = None,
        say: Callable[[str], object] = str,
    ) -> None:
        """Without `config` it judges nothing. `uniform_loss` is that of equal probabilities; None
        where the loss is of another kind. `say` takes warnings for a person.
        """
        self.config, self.uniform_loss, self.say = config, uniform_loss, say
        self.new: list[Finding] = []
        """Found since the last row of the log."""
        self.lost: BadRun | None = None
        """Why the run cannot recover, once that is certain."""
        self.prior: Prior | None = None
        self.told: set[str] = set()
        self.losses: deque[float] = deque(maxlen=UNCHANGED_STEPS)
        """Means of the last steps that were waited for."""
        self.norms: list[Tensor] = []
        self.first_norms: list[float] = []

    def warn(self, findings: Iterable[Finding]) -> None:
        """Say what was not said yet, and keep it for the log."""
        for one in findings:
            if one.name not in self.told:
                self.told.add(one.name)
                self.new.append(one)
                self.say(f"warning: {one.message}. {one.hint}")

    def gradient(self, model: nn.Module, step: int) -> None:
        """Measure the gradient of a step now and then, without waiting for the device."""
        scaled = self.config is None or self.config.precision == "16-mixed"  # by a moving factor
        if not scaled and step % GRADIENT_EVERY == 0:
            given = [p.grad.detach() for p in model.parameters() if p.grad is not None]
            self.norms.append(nn.utils.get_total_norm(given))

    def loss(self, loss: float, step: int) -> None:
        """Judge the mean loss of the last steps, up to `step`. Raises BadRun where it is lost."""
        self.losses.append(loss)
        if self.config is None:
            return
        self.warn(self._exploding(self.config))
        if self.uniform_loss is None or step < FIRST_STEPS or len(self.losses) < FIRST_STEPS // 2:
            return
        rate = self.config.optimiser.learning_rate
        if min([*self.losses][-FIRST_STEPS // 2 :]) > FAR_TOO_HIGH * self.uniform_loss:
            message = f"the loss is {loss:,.4g} after {step} steps, where equal probabilities would"
            message += f" have {self.uniform_loss:.3g}: the weights diverged at a learning rate of "
            raise lost(f"{message}{rate:g}", lower_rate(self.config))
        unchanged = max(self.losses) - min(self.losses) < SAME * max(self.losses)
        full = len(self.losses) == UNCHANGED_STEPS
        if full and unchanged and loss > self.uniform_loss / 2:
            raise lost(*stands_still(loss, step, rate))

    def take(self) -> list[dict[str, Any]]:
        """What was found since the last row of the log, for the next one."""
        new, self.new = self.new, []
        return [asdict(one) for one in new]

    def refuse_lost(self) -> None:
        """Raise BadRun where an epoch showed that the run cannot recover."""
        if self.lost:
            raise self.lost

    def epoch(
        self,
        rows: Sequence[Mapping[str, Any]],
        scored: ScoredExamples,
        folder: DataFolder,
        *,
        is_last: bool,
    ) -> None:
        """Judge an epoch by the `rows` of the log so far and the validation split, just `scored`.

        Nothing is said of the predictions of a young run: a healthy small one gained -0.35 points
        by the image after its first epoch, and 21 after its sixth.
        """
        if self.config is None:
            return
        row, losses = rows[-1], [one["loss"] for one in rows]
        done, step = row["epoch"], row["step"]
        self.warn(loader_bound(row, self.config))
        still = max(losses) - min(losses) < SAME * max(losses)
        if self.uniform_loss and still and done >= FAIR_EPOCHS and step >= UNCHANGED_STEPS:
            self.lost = lost(*stands_still(losses[-1], step, self.config.optimiser.learning_rate))
        fair = done >= max(FAIR_EPOCHS, FAIR_SHARE * self.config.epochs) and step >= FAIR_STEPS
        if not fair and not (is_last and step >= LEAST_STEPS):
            return
        if one := one_prediction(scored, folder):
            self.warn([one])
            if fair and losses[-1] > NOT_FALLING * losses[-FAIR_EPOCHS]:
                self.lost = lost(f"{one.message}, and the loss does not fall", one.hint)
        cost = PRIOR_SECONDS + PRIOR_SECONDS_EACH * folder.about["splits"]["train"]["questions"]
        fitted = PRIOR_SHARE * sum(one["seconds"] for one in rows) > cost
        if self.prior is None or fitted > self.prior.fitted:
            self.prior = best_prior(scored, folder, fitted=fitted)
        if self.prior:
            self.warn(against_prior(rows, self.prior))

    def _exploding(self, config: TrainConfig) -> Iterator[Finding]:
        for norm in torch.stack(self.norms).tolist() if self.norms else ():
            if len(self.first_norms) < GRADIENT_EVERY:
                self.first_norms.append(norm)
            elif EXPLODED * median(self.first_norms) < norm < math.inf:
                message = f"the gradient explodes: its norm was {median(self.first_norms):.3g} at "
                message += f"first and is {norm:.3g}"
                yield finding("exploding-gradient", message, hint=lower_rate(config))
        self.norms.clear()


@torch.no_grad()
def uniform_loss(loop: "TrainingLoop") -> float | None:
    """The loss of a batch where all answers, or all words, are equally probable; None where
    training is self-critical, whose loss is of another kind. The run is as it was afterwards."""
    if loop.config.self_critical is not None:
        return None

    def flat(batch: Batch) -> Any:
        output = loop.model.module(batch)
        return replace(output, logits=torch.zeros_like(output.logits))

    rows = epoch_order(loop.examples.image, None, 0, 0)[: loop.config.batch_size]
    batch = loop.examples.batch(rows).to(loop.fabric.device)
    with torch.random.fork_rng(), loop.fabric.autocast():
        loop.model.eval()
        return float(loop.objective(flat, batch, ScheduleState(0, 0)).loss)


def loader_bound(row: Mapping[str, Any], config: TrainConfig) -> Iterator[Finding]:
    """Whether an epoch was spent waiting for features."""
    if row["waiting"] > WAITING and row["seconds"] > WAITING_SECONDS:
        hint = "Put the features on a faster disk, or make them smaller: saccade store convert."
        if not config.workers:
            hint = "Read features in other processes: --set train.workers=2. " + hint
        message = f"{row['waiting']:.0%} of the training time was spent waiting for data"
        yield finding("waiting-for-data", message, hint=hint)


def one_prediction(scored: ScoredExamples, folder: DataFolder) -> Finding | None:
    """Whether nearly all validation examples get one answer, or one caption, and should not."""
    kind = "caption" if "caption" in scored.rows else "answer"
    predicted = Counter(scored.rows[kind])
    if kind == "answer":
        true = Counter(question.best_answer for question in folder.questions("val"))
    else:
        true = Counter(some[0].text for some in folder.captions_by_image("val").values())
    top, count = predicted.most_common(1)[0]
    expected = true.most_common(1)[0][1] / true.total()
    if predicted.total() < FEW or count < ONE * predicted.total() or expected >= EXPECTED:
        return None
    message = f"{count / predicted.total():.0%} of the validation predictions are {top!r}, and of "
    message += f"the human {kind}s {expected:.0%} are the same"
    hint = f"The {kind}s of the training split may be nearly all the same, the learning rate too "
    hint += "high or the weight decay too strong; look at saccade check DATA."
    return finding("one-prediction", message, hint=hint)


class Prior(NamedTuple):
    """The best score on the validation split that needs no image."""

    title: str
    score: float
    fitted: bool


def best_prior(scored: ScoredExamples, folder: DataFolder, *, fitted: bool) -> Prior | None:
    """The best of the baselines without an image; those that take seconds only where `fitted`."""
    metric = TASK_INFO["caption" if "caption" in scored.rows else "vqa"].default_metric
    if metric == "accuracy":
        options = ScoreOptions((metric,), revision=scored.scores["revision"])
        found = blind_answers(folder, "val", options, fitted=fitted)
    else:
        found = baselines_of_captions(folder, "val", scored) if fitted else {}
    scores = {
        name: float(one.scored.scores[metric])
        for name, one in found.items()
        if one.scored and BASELINES[name].kind == "no image"
    }
    if not scores:
        return None
    best = max(scores, key=scores.__getitem__)
    return Prior(BASELINES[best].title, scores[best], fitted)


def against_prior(rows: Sequence[Mapping[str, Any]], prior: Prior) -> Iterator[Finding]:
    """Whether the best epoch is no better than what needs no image, or better than can be."""
    name = next(name for name in ("accuracy", "bleu_4") if name in rows[-1]["scores"])
    metric, best = METRICS[name], max(row["scores"][name] for row in rows)
    message = f"{metric.title} {metric.shown(best)} on the validation split is no better than "
    message += f"{metric.shown(prior.score)} of a baseline without an image ({prior.title})"
    if best <= prior.score:
        hint = "Do features and images belong together, and questions and answers? Else train "
        hint += "longer, or with more data."
        if rows[-1]["train_metric"] == "top-1" and (heart := rows[-1]["train_score"]) > BY_HEART:
            message += f"; of the training examples it has {heart:.0f}% right, by heart"
            hint = (
                "Were images and texts of both splits made in one way? Else take more data, more "
            )
            hint += "dropout or weight decay; training longer does not help."
        yield finding("not-better-than-prior", message, hint=hint)
    if name == "accuracy" and best > EASY and prior.score > EASY_PRIOR:
        message = f"accuracy {metric.shown(best)} says little: {metric.shown(prior.score)} need no "
        hint = "Look at the answers: saccade check DATA. Are most of them the same?"
        yield finding("too-easy", f"{message}image ({prior.title})", hint=hint)


def lost(message: str, hint: str) -> BadRun:
    """The error for a run that cannot recover."""
    hint = f"{hint} To train on all the same: --no-watchdog."
    return BadRun(message, location=RATE, hint=hint)


def stands_still(loss: float, steps: int, rate: float) -> tuple[str, str]:
    """Message and hint for a loss that does not change."""
    hint = f"Raise {RATE} (it is {rate:g}) and look at train.schedule; where all features or all "
    hint += "questions are equal, it cannot fall."
    return f"the loss stands still at {loss:.4g} after {steps} steps", hint


def lower_rate(config: TrainConfig) -> str:
    """The command's words for a learning rate that a run can bear."""
    chosen = config.optimiser
    usual = type(chosen)().learning_rate  # the kind is its default
    hint = f"Lower it: --set {RATE}={min(usual, chosen.learning_rate / 10):g}"
    clips = config.clip_norm or config.clip_value or config.clip_norm_per_tensor
    return f"{hint}." if clips else f"{hint}, or clip the gradient: --set train.clip_norm=1."


def not_finite(loop: "TrainingLoop", progress: "Progress", loss: float) -> SaccadeError:
    """The error for a loss that became NaN or infinite, and the place that it came from.

    The images of the batches since the last finite loss are looked at first (raises BadStore), then
    the weights, then the parts of the model.
    """
    config, examples = loop.config, loop.examples
    order = epoch_order(examples.image, config.samples_per_image, config.seed, progress.epoch)
    rows = order[progress.examples - progress.pending : progress.examples]
    captions: Any = getattr(examples, "captions", examples)  # of images, in self-critical training
    store = captions.store
    largest = store.largest_number(np.unique(examples.image[rows]))
    message = f"the loss became {loss} before step {progress.step}"
    kept = " The weights of the best epoch are kept." if progress.best > -math.inf else ""
    if largest > LARGE_FEATURE:
        message += f", and features are as large as {largest:.3g}, which no backbone makes"
        hint = f"Extract or import them again.{kept}"
        return BadStore(message, location=store.path, hint=hint)
    weights = loop.model.module.named_parameters()
    lost = [name for name, weight in weights if not bool(weight.detach().isfinite().all())]
    if lost:
        rate, earlier = config.optimiser.learning_rate, loop.watchdog.losses
        before = ", ".join(f"{one:.4g}" for one in [*earlier][-3:]) or "none"
        message += f" at a learning rate of {rate:g} (losses before it: {before}), and the weights "
        message += f"diverged: {len(lost)} tensors hold NaN, such as {lost[0]}"
    else:
        part = first_not_finite(loop.model.module, examples.batch(rows).to(loop.fabric.device))
        message += f"; features and weights are finite, but {part} is not"
    return BadRun(message, location=RATE, hint=lower_rate(config) + kept)


def first_not_finite(model: nn.Module, batch: Batch) -> str:
    """The first part of a model whose output is NaN or infinite."""
    found: list[str] = []

    def look(name: str) -> Callable[..., None]:
        def hook(_part: nn.Module, _given: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not bool(output.isfinite().all()):
                found.append(name)

        return hook

    handles = [part.register_forward_hook(look(name)) for name, part in model.named_modules()]
    with torch.no_grad():
        model(batch)
    for handle in handles:
        handle.remove()
    return f"the output of {found[0]}" if found and found[0] else "the loss"
