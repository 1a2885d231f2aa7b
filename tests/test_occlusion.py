"""Hiding regions finds what a model depends on, for answers and for words, whatever the model."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from saccade.core.errors import BadConfig
from saccade.data.batch import CaptionOutput, VqaBatch, VqaOutput
from saccade.inference.answers import Answer, CaptionWord, GeneratedCaption
from saccade.inference.occlusion import occlude_answer, occlude_caption
from saccade.inference.predictor import EncodedImage
from saccade.text.answers import AnswerList
from saccade.text.vocabulary import caption_vocabulary

REGIONS = 81  # more than go together in one batch
SEEN, UNSEEN = 7, 70
BOXES = np.zeros((REGIONS, 4), np.float32)


class OneEyed(nn.Module):
    """Says the first answer, or word, the surer the larger region SEEN is."""

    def forward(self, batch):
        confidence = batch.regions[batch.image, SEEN, 0]
        logits = torch.stack([confidence, torch.zeros_like(confidence)], dim=1)
        if isinstance(batch, VqaBatch):
            return VqaOutput(logits)
        steps = batch.caption.shape[1] - 1
        logits = torch.zeros(steps, len(batch), int(batch.caption.max()) + 1)
        logits[0, torch.arange(len(batch)), batch.caption[:, 1]] = (
            confidence  # the first word alone
        )
        return CaptionOutput(logits.flatten(0, 1), batch.caption[:, 1:].T.flatten())


def encoded(value=3.0):
    regions = torch.zeros(1, REGIONS, 4)
    regions[0, SEEN, 0] = value
    regions[0, UNSEEN, 1] = 9.0
    return EncodedImage(regions, torch.ones(1, REGIONS, dtype=torch.bool), BOXES)


def run():
    vocabulary = caption_vocabulary({"red": 5, "cat": 4}, tokenizer="karpathy", min_count=1)
    answers = AnswerList(("red", "blue"), "official")
    made = SimpleNamespace(
        model=OneEyed(),
        opened=SimpleNamespace(
            path="runs/x", words=SimpleNamespace(answers=answers, vocabulary=vocabulary)
        ),
    )
    made.question = lambda seen, text: VqaBatch(
        seen.regions,
        seen.mask,
        image=torch.zeros(1, dtype=torch.int64),
        question=torch.tensor([[1, 2]]),
        question_length=torch.tensor([2]),
    )
    return made


def test_the_region_that_an_answer_hangs_on_gets_all_the_weight():
    answer = occlude_answer(run(), encoded(), "what?", Answer("red", [("red", 0.9)], None, BOXES))
    assert answer.attention.shape == (1, REGIONS)
    assert answer.attention[0].argmax() == SEEN
    assert answer.attention[0, SEEN] == pytest.approx(1.0)


def test_a_region_whose_hiding_helps_has_no_weight():
    answer = occlude_answer(run(), encoded(), "what?", Answer("blue", [("blue", 0.1)], None, BOXES))
    assert answer.attention.sum() == 0, "what speaks against the answer is not what it rests on"


def test_every_word_has_its_own_map():
    said = GeneratedCaption(
        "red cat", [CaptionWord("red", None, None), CaptionWord("cat", None, None)], -1.0, BOXES
    )
    red, cat = occlude_caption(run(), encoded(), said).words
    assert red.attention.argmax() == SEEN
    assert cat.attention.sum() == 0, "the second word hangs on no region"


def test_an_image_of_one_region_has_nothing_to_hide():
    one = EncodedImage(torch.ones(1, 1, 4), torch.ones(1, 1, dtype=torch.bool), BOXES[:1])
    with pytest.raises(BadConfig, match="one vector for the whole image"):
        occlude_answer(run(), one, "what?", Answer("red", [("red", 0.9)], None, BOXES[:1]))
