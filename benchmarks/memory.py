"""Memory: a training process with stored features, and annotations per question.

    python -m benchmarks.memory

Peak resident memory of a fresh process that trains a few steps at COCO's and VQA's sizes, features
read from a memory-mapped file; and bytes that an encoded question takes, its answers included.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks import inputs, timing
from saccade.config import TrainConfig
from saccade.data.batch import CaptionBatch, Sizes, VqaBatch
from saccade.data.examples import Ragged
from saccade.models.catalogue import MODELS, build_model
from saccade.models.losses import Loss, answer_loss, caption_loss
from saccade.training.optim import make_optimiser

STEPS = 4
LOSSES: dict[str, Loss] = {"vqa": answer_loss, "caption": caption_loss}
QUESTIONS = 200_000
GIB = 2**30


def main() -> None:
    """Measure each in a process of its own; `main NAME` is that process."""
    if len(sys.argv) > 1:
        _train(sys.argv[1])
        return
    rows = [
        timing.Limit(name, f"{published} GiB", _peak(name), bar, "GiB")
        for name, published, bar in [
            ("show_attend_tell", "2.5", 1.6),
            ("show_ask_attend_answer", "2.6", 1.8),
        ]
    ]
    rows.append(timing.Limit("a question, encoded", "15,600 B", _bytes_per_question(), 300, "B"))
    timing.report_limits("Memory (reference: as measured for the published programs)", rows)


def _peak(name: str) -> float:
    """Peak resident GiB of a process that trains `name` on stored features."""
    command = [sys.executable, "-m", "benchmarks.memory", name]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(answer.split()[-1])


def _train(name: str) -> None:
    timing.one_thread()
    with tempfile.TemporaryDirectory() as folder:
        batch_of = _caption_batch if name == "show_attend_tell" else _vqa_batch
        side = 8 if name == "show_attend_tell" else 14
        path = Path(folder) / "features.npy"
        shape = (200, side * side, inputs.CHANNELS)
        stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
        stored[:] = 0.5
        stored = np.load(path, mmap_mode="r")
        sizes = Sizes(
            words=inputs.WORDS if side == 8 else inputs.QUESTION_WORDS,
            region_dim=inputs.CHANNELS,
            answers=inputs.ANSWERS,
            grid=(side, side),
            regions=side * side,
        )
        entry = MODELS[name]
        model = build_model(entry.config(), sizes)
        optimiser = make_optimiser(model, TrainConfig())
        for _ in range(STEPS):
            batch = batch_of(stored).to("cpu")
            loss = LOSSES[entry.task](model(batch), batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB)


def _caption_batch(stored: np.ndarray) -> CaptionBatch:
    given = inputs.captions(images=6, each=5)
    rows = np.random.default_rng(0).choice(len(stored), 6, replace=False)
    regions = torch.from_numpy(stored[rows])
    mask = torch.ones(regions.shape[:2], dtype=torch.bool)
    max_length = int(given.lengths.max())
    return CaptionBatch(regions, mask, given.image, given.words[:, :max_length], given.lengths)


def _vqa_batch(stored: np.ndarray) -> VqaBatch:
    given = inputs.questions(images=25, each=5)
    rows = np.random.default_rng(0).choice(len(stored), 25, replace=False)
    regions = torch.from_numpy(stored[rows])
    return VqaBatch(
        regions,
        torch.ones(regions.shape[:2], dtype=torch.bool),
        given.image,
        given.words,
        given.lengths,
        given.answers,
        given.counts / 10,
    )


def _bytes_per_question() -> float:
    """As `VqaExamples` holds them: words, answers, counts, id, image row, people."""
    random = np.random.default_rng(0)
    words = Ragged.of([[1] * n for n in random.poisson(6.2, QUESTIONS)], np.int32)
    distinct = random.integers(1, 6, QUESTIONS)
    answers = Ragged.of([[1] * n for n in distinct], np.int32)
    counts = Ragged.of([[1] * n for n in distinct], np.uint8)
    held = sum(part.values.nbytes + part.offsets.nbytes for part in (words, answers, counts))
    return held / QUESTIONS + 8 + 4 + 1


if __name__ == "__main__":
    main()
