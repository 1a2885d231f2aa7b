"""Faithfulness: does a run's map mark the regions that its prediction rests on?

Regions are hidden in the order of the map, and the probability of what the model predicted for the
whole image is followed (`region_curves`); beside it stand random orders, occlusion, and maps that
ought to be worse: of the same model with other weights, and of another image. Written to
`faithfulness.json` of the run folder, with all that the numbers depend on: docs/faithfulness.md.

Shapes: B examples, M maps of each, R regions, D numbers per region, S points of a curve.

Sources: Petsiuk et al. 2018 (deletion, insertion); Adebayo et al. 2018 (exchanged weights).
"""

from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from saccade.core.errors import BadData, BadRun
from saccade.core.files import write_json
from saccade.core.run_files import FAITHFULNESS, read_faithfulness
from saccade.core.tasks import TASK_INFO, TaskName
from saccade.core.tensors import kept_epoch
from saccade.data.batch import Batch, CaptionBatch, CaptionOutput, VqaOutput
from saccade.data.folder import DataFolder
from saccade.data.records import SPLITS, Split
from saccade.evaluation.attention_grounding import in_boxes, in_outlines, shares_inside
from saccade.evaluation.explained_examples import (
    Explained,
    caption_words,
    mean_of_training,
    questions,
)
from saccade.evaluation.faithfulness_scores import (
    METHODS,
    RANDOM,
    Measured,
    Shares,
    scores_of,
    together,
)
from saccade.evaluation.region_curves import (
    EQUAL,
    STEPS,
    area,
    hidden_counts,
    hidden_regions,
    is_constant,
    rank_correlation,
    ranks,
)
from saccade.evaluation.true_objects import TrueObjects, read_objects
from saccade.experiment import Experiment, assemble_for_run
from saccade.inference.model import untrained_model
from saccade.inference.occlusion import outputs_with_hidden, refuse_single_region
from saccade.inference.predictor import Run, load
from saccade.models.encoder import without_encoder


def faithfulness(  # noqa: PLR0913  the options of `saccade faithfulness`
    run: Path,
    *,
    split: Split | None = None,
    limit: int | None = 200,
    boxes: Path | None = None,
    data: Path | None = None,
    features: str | None = None,
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Measure a run's maps and write the entry of the split: see `saccade.faithfulness`."""
    opened = load(run, device)
    known_data = data or opened.opened.header.data
    if known_data is None:
        raise BadRun("an imported run has no data folder", location=run, hint="Give one by --data.")
    folder = DataFolder(Path(known_data))
    found = measure_faithfulness(
        opened,
        folder,
        split or _split_to_measure(folder, opened.task),
        limit=limit,
        objects=None if boxes is None else read_objects(boxes),
        features=features,
        batch_size=batch_size,
        seed=seed,
    )
    write_json(run / FAITHFULNESS, read_faithfulness(run) | {found["split"]: found})
    return found


def _split_to_measure(folder: DataFolder, task: TaskName) -> Split:
    """The last split that has questions, or images for captions; answers are not needed."""
    kind = "questions" if TASK_INFO[task].asks_question else "images"
    return next((one for one in reversed(SPLITS) if folder.about["splits"][one][kind]), "test")


def measure_faithfulness(
    run: Run,
    folder: DataFolder,
    split: Split,
    *,
    limit: int | None = 200,
    objects: TrueObjects | None = None,
    features: str | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure a run's maps on a split; returns the entry of the split in `faithfulness.json`.

    `limit` questions, or images for captions, are drawn with `seed`; `objects` are the true places
    of what is asked about or named; `batch_size` copies of images go through the model together,
    which changes no score. Raises BadData for fewer than two images, BadConfig for images of a
    single region, BadStore as `assemble_for_run`.
    """
    experiment = assemble_for_run(run.opened, folder, features)
    regions = experiment.sizes.regions if run.encoder is None else len(run.encoder.spec.boxes)
    refuse_single_region(regions, run.opened.path)
    measure = Measurement(run, experiment, objects, batch_size, seed)
    examples = questions if run.task == "vqa" else caption_words
    found, left_out = list[Measured](), {"constant_map": 0, "without_features": 0, "no_words": 0}
    for chunk in examples(run, experiment, split, limit, seed, left_out):
        found.append(measure(chunk))
        left_out["constant_map"] += len(chunk.ids) - len(found[-1].images)
    every = together(found) if found else None
    if every is None or len(np.unique(every.images)) < 2:
        message = f"the {split} split has fewer than two images whose map marks anything"
        hint = "Choose another split with --split, or a run whose maps are not constant."
        raise BadData(message, location=folder.path, hint=hint)
    header, store = run.opened.header, experiment.store
    data = f"the {split} split of {folder.about['source']}"
    return {
        "split": split,
        "task": run.task,
        "map": "attention" if measure.attends else "occlusion",
        **scores_of(every, left_out, run.task, data, attends=measure.attends),
        "conventions": conventions(measure),
        "recipe": header.recipe_name,
        "model": header.recipe.model.kind,
        "seed": header.recipe.train.seed,
        "epoch": kept_epoch(run.opened.path),
        "data": folder.fingerprint,
        "features": store.path.name,
        "versions": header.versions,
    }


def conventions(measure: "Measurement") -> dict[str, Any]:
    """All that the numbers depend on, in words."""
    return {
        "score": "probability of what the model predicts for the whole image, absolute"
        + (" (sigmoid)" if measure.logistic else " (softmax)"),
        "hidden_by": f"the mean region of {measure.stand_in_images}",
        "axis": "share of regions hidden (deletion) or shown (insertion), 0..1, both ends included",
        "steps": STEPS,
        "area": "trapezoidal rule",
        "ties": f"by lot; weights are compared in steps of {EQUAL:g}",
        "random_orders": RANDOM,
        "occlusion": "fall of the log-probability when one region is hidden",
        "marked": "the tenth of the regions with the most weight, at least one",
        "boxes": "half-open, x0 <= x < x1; tolerance 0",
        "objects": measure.objects and measure.objects.source,
        "crowds_left_out": measure.objects and measure.objects.crowds,
        "draw_seed": measure.seed,
    }


class Measurement:
    """The measurement of examples of one run."""

    def __init__(
        self,
        run: Run,
        experiment: Experiment,
        objects: TrueObjects | None,
        batch_size: int,
        seed: int,
    ) -> None:
        self.run, self.objects, self.batch_size, self.seed = run, objects, batch_size, seed
        answers = experiment.recipe.answers
        self.logistic = answers is not None and answers.loss == "logistic"
        self.stand_in, self.stand_in_images = mean_of_training(run, experiment, seed)
        self.regions = experiment.sizes.regions
        self.untrained = without_encoder(untrained_model(run.opened, seed)).to(run.device)
        self.attends = True

    @torch.inference_mode()
    def __call__(self, chunk: Explained) -> Measured:
        model, mask = self.run.model, chunk.batch.region_mask[chunk.batch.image]
        log_p, attention = self.predict(model, chunk.batch)
        target = log_p.argmax(dim=1)
        if isinstance(chunk.batch, CaptionBatch):
            target = last_words(chunk.batch)
        self.attends = attention is not None
        occlusion = self._occlusion(model, chunk.batch, target)
        maps = occlusion if attention is None else attention
        others = [
            self._map(of, batch, target, mask.shape[1])
            for of, batch in ((self.untrained, chunk.batch), (model, chunk.other))
        ]
        keep = ~is_constant(maps, mask)
        all_maps = [maps, occlusion, *[torch.zeros_like(maps)] * RANDOM, *others]
        keys = self._keys(chunk, mask)
        order = torch.stack([ranks(one, mask, keys[:, n]) for n, one in enumerate(all_maps)], dim=1)
        counts = hidden_counts(mask)
        curves, changed = self._curves(chunk.batch, target, log_p.argmax(dim=1), order, counts)
        correlation = [rank_correlation(maps, one, mask) for one in (occlusion, *others)]
        rows = keep.cpu().numpy()
        whole = log_p.gather(1, target[:, None])[:, 0].exp()
        return Measured(
            np.array(chunk.images, np.int64)[rows],
            _numbers(whole)[rows],
            _numbers(curves)[rows],
            _numbers(area(curves, counts))[rows],
            _numbers(changed)[rows],
            _numbers(torch.stack(correlation, dim=1))[rows],
            [self._pointing(chunk, maps, n) for n in np.flatnonzero(rows).tolist()],
        )

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities `(B, A)` of answers or next words, and the map of each `(B, R)`."""
        output = model(batch)
        if isinstance(output, VqaOutput):
            attention = output.attention
            found = None if attention is None else attention.mean(dim=1)
            return self._log_p(output, batch), found
        last = cast(CaptionBatch, batch).caption_length - 2
        attention = output.attention
        found = None if attention is None else attention[torch.arange(len(last)), last]
        return self._log_p(output, batch), found

    def _log_p(self, output: VqaOutput | CaptionOutput, batch: Batch) -> Tensor:
        if isinstance(output, CaptionOutput):
            return output.logits[last_rows(cast(CaptionBatch, batch))].float().log_softmax(dim=1)
        logits = output.logits.float()
        return nn.functional.logsigmoid(logits) if self.logistic else logits.log_softmax(dim=1)

    def _map(self, model: nn.Module, batch: Batch, target: Tensor, regions: int) -> Tensor:
        """A model's attention `(B, regions)`, or its occlusion where it has none. Another image may
        have more regions or fewer: these are cut off, those have no weight.
        """
        attention = self.predict(model, batch)[1]
        found = self._occlusion(model, batch, target) if attention is None else attention
        return nn.functional.pad(found[:, :regions], (0, max(regions - found.shape[1], 0)))

    def _occlusion(self, model: nn.Module, batch: Batch, target: Tensor) -> Tensor:
        """By how much hiding each region lowers the log-probability of the target: `(B, R)`."""
        size, regions = len(batch), batch.regions.shape[1]
        hide = torch.eye(regions + 1, regions, dtype=torch.bool, device=target.device)
        hide = hide.repeat(size, 1)  # the last copy hides nothing
        log_p = self._hidden(model, batch, target, hide)[0].view(size, -1)
        return log_p[:, -1:] - log_p[:, :-1]

    def _hidden(
        self, model: nn.Module, batch: Batch, target: Tensor, hide: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The log-probability of the target, and what is likeliest: each `(N,)`, of copies of the
        examples that hide regions `(N, R)`; the copies of an example stand together.
        """
        example = torch.arange(len(batch), device=hide.device)
        example = example.repeat_interleave(len(hide) // len(batch))
        found, likeliest = list[Tensor](), list[Tensor]()
        targets = target[example].split(self.batch_size)
        outputs = outputs_with_hidden(model, batch, example, hide, self.stand_in, self.batch_size)
        for wanted, (copies, output) in zip(targets, outputs, strict=True):
            log_p = self._log_p(output, copies)
            found.append(log_p.gather(1, wanted[:, None])[:, 0])
            likeliest.append(log_p.argmax(dim=1))
        return torch.cat(found), torch.cat(likeliest)

    def _curves(
        self, batch: Batch, target: Tensor, likeliest: Tensor, order: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Curves `(B, M, 2, S)`, and whether the first step of deletion changed what is likeliest
        `(B, M)`.
        """
        size, regions = len(batch), order.shape[-1]
        inner = hidden_regions(order, counts)  # (B, M, 2, S - 2, R)
        ends = torch.tensor([False, True], device=order.device)[None, :, None]
        hide = torch.cat([ends.expand(size, 2, regions), inner.flatten(1, 3)], dim=1)
        log_p, first = self._hidden(self.run.model, batch, target, hide.flatten(0, 1))
        p = log_p.exp().view(size, -1)
        middle = p[:, 2:].view(inner.shape[:-1])
        whole, nothing = (p[:, n, None].expand(middle.shape[:2]) for n in (0, 1))
        deletion = torch.cat([whole[..., None], middle[:, :, 0], nothing[..., None]], dim=-1)
        insertion = torch.cat([nothing[..., None], middle[:, :, 1], whole[..., None]], dim=-1)
        first = first.view(size, -1)[:, 2:].view(inner.shape[:-1])[:, :, 0, 0]
        changed = (first != likeliest[:, None]).double()
        return torch.stack([deletion, insertion], dim=2).double(), changed

    def _keys(self, chunk: Explained, mask: Tensor) -> Tensor:
        """Random keys `(B, M, R)` of each example's own: whatever else is in its batch."""
        regions, shape = mask.shape[1], (self.regions, len(METHODS))
        drawn = [
            np.random.default_rng((self.seed, id_, len(words))).random(shape)[:regions].T
            for id_, words in zip(chunk.ids, chunk.words, strict=True)
        ]
        return torch.from_numpy(np.stack(drawn)).to(mask.device)

    def _pointing(
        self, chunk: Explained, maps: Tensor, row: int
    ) -> tuple[Shares, Shares | None] | None:
        """Whether an example's map lies on its true objects; None where it has none."""
        question = chunk.ids[row] if self.run.task == "vqa" else None
        given = question, chunk.images[row], chunk.words[row]
        true = None if self.objects is None else self.objects.of(*given)
        if true is None:
            return None
        real = int(chunk.batch.region_mask[chunk.batch.image[row]].sum())
        # A region whose hiding helps has no weight, as on the maps that are drawn.
        weights = (_numbers(maps[row, :real]).clip(0) / EQUAL).round()
        weights = weights / max(weights.sum(), 1)
        in_box = shares_inside(weights, chunk.boxes[row][:real], partial(in_boxes, true.boxes))
        if true.outlines is None:
            return in_box, None
        inside = partial(in_outlines, true.outlines)
        return in_box, shares_inside(weights, chunk.boxes[row][:real], inside)


def last_rows(batch: CaptionBatch) -> Tensor:
    """The packed row of the last word that each caption of a batch reads: `(B,)` int64."""
    steps = batch.caption_length - 1
    place = torch.arange(int(steps.max()), device=steps.device)
    counts = (steps[:, None] > place).sum(dim=0)
    first = counts.cumsum(dim=0) - counts
    return first[steps - 1] + torch.arange(len(steps), device=steps.device)


def last_words(batch: CaptionBatch) -> Tensor:
    """The last word of each caption of a batch: `(B,)` int64."""
    return batch.caption.gather(1, batch.caption_length[:, None] - 1)[:, 0]


def _numbers(tensor: Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.double().cpu().numpy())
