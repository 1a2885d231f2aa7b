"""Both systems against a plain writing of their published form: same weights, same results."""

import pytest
import torch
from torch.nn import functional

from saccade.data.batch import CaptionBatch, Sizes, VqaBatch
from saccade.inference.decoding import Rules, beam_search, replay
from saccade.models.catalogue import ShowAskAttendAnswerConfig, ShowAttendTellConfig
from saccade.models.losses import answer_loss, caption_loss
from saccade.models.show_ask_attend_answer import ShowAskAttendAnswer
from saccade.models.show_attend_tell import ShowAttendTell
from tests.oracles import names
from tests.oracles import show_ask_attend_answer as saaa
from tests.oracles import show_attend_tell as sat

WORDS, CHANNELS, START, END = 40, 24, 38, 39


def captioners(side: int, seed: int = 0) -> tuple[sat.ShowAttendTell, ShowAttendTell]:
    torch.manual_seed(seed)
    theirs = sat.ShowAttendTell(WORDS, encoder_dim=CHANNELS, dropout=0.0)
    sizes = Sizes(words=WORDS, region_dim=CHANNELS, grid=(side, side))
    ours = ShowAttendTell(ShowAttendTellConfig(dropout=0.0), sizes)
    names.copy_weights(theirs, ours, names.SHOW_ATTEND_TELL)
    return theirs, ours


@pytest.mark.parametrize("side", [8, 14])
def test_show_attend_tell_reads_as_published(side):
    theirs, ours = captioners(side)
    grids = torch.rand(3, CHANNELS, side, side)
    image = torch.tensor([0, 2, 1, 0, 2])
    lengths = torch.tensor([9, 7, 6, 5, 3])
    words = torch.randint(1, WORDS - 3, (5, 9))
    words[:, 0] = START
    words[torch.arange(5), lengths - 1] = END
    words = words * (torch.arange(9) < lengths[:, None])
    reading = theirs(sat.blow_up(grids)[image], words, lengths)
    regions = grids.flatten(2).transpose(1, 2)
    mask = torch.ones(3, side * side, dtype=torch.bool)
    batch = CaptionBatch(regions, mask, image, words, lengths)
    output = ours(batch)

    wanted = functional_pack(reading.predictions, reading.decode_lengths)
    torch.testing.assert_close(output.logits, wanted, atol=1e-5, rtol=1e-5)
    looks = reading.alphas  # over 14 x 14 looks; ours are over the cells below them
    cells = looks if ours.pooling is None else ours.pooling.to_regions(looks)
    torch.testing.assert_close(output.attention, cells, atol=1e-5, rtol=1e-5)

    published, found = sat.loss(reading), caption_loss(output, batch)
    torch.testing.assert_close(found, published, atol=1e-5, rtol=1e-5)
    published.backward()
    found.backward()
    assert names.gradient_difference(theirs, ours, names.SHOW_ATTEND_TELL) < 1e-5


def functional_pack(padded: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    return torch.nn.utils.rnn.pack_padded_sequence(padded, lengths, batch_first=True).data


@pytest.mark.parametrize("beam_size", [1, 2, 3, 5])
def test_show_attend_tell_says_what_the_published_search_says(beam_size):
    theirs, ours = captioners(8, seed=5)
    with torch.no_grad():  # so that captions depend on the image, and some end and some do not
        theirs.fc.weight *= 12
        theirs.f_beta.weight *= 20
    names.copy_weights(theirs, ours, names.SHOW_ATTEND_TELL)
    theirs.eval()
    ours.eval()
    grids = torch.randn(12, CHANNELS, 8, 8) * 4
    regions, mask = grids.flatten(2).transpose(1, 2), torch.ones(12, 64, dtype=torch.bool)
    rules = Rules(START, END, max_length=20)
    hypotheses = beam_search(ours, regions, mask, rules, beam_size=beam_size)
    looks = sat.blow_up(grids)
    one_by_one = [
        sat.beam_search(
            theirs, looks[i : i + 1], start=START, end=END, beam_size=beam_size, max_length=20
        )
        for i in range(12)
    ]
    assert [hypothesis.words for hypothesis in hypotheses] == [
        spoken.words for spoken in one_by_one
    ]
    assert {hypothesis.ended for hypothesis in hypotheses} == {True, False}, (
        "both kinds must be tried"
    )
    for hypothesis, spoken in zip(hypotheses, one_by_one, strict=True):
        assert hypothesis.log_probability == pytest.approx(spoken.score, abs=1e-3)
    maps, _ = replay(ours, regions, mask, [hypothesis.words for hypothesis in hypotheses], rules)
    for found, spoken in zip(maps, one_by_one, strict=True):
        wanted = ours.pooling.to_regions(spoken.alphas[: len(found)])
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    if beam_size == 1:
        greedy = [
            sat.greedy(theirs, looks[i : i + 1], start=START, end=END, max_length=20).words
            for i in range(12)
        ]
        assert [hypothesis.words for hypothesis in hypotheses] == greedy


def test_show_ask_attend_answer_answers_as_published():
    torch.manual_seed(0)
    theirs = saaa.ShowAskAttendAnswer(WORDS, 11, CHANNELS, dropout=0.0)
    sizes = Sizes(words=WORDS, region_dim=CHANNELS, answers=11)
    ours = ShowAskAttendAnswer(ShowAskAttendAnswerConfig(dropout=0.0), sizes)
    names.copy_weights(theirs, ours, names.SHOW_ASK_ATTEND_ANSWER)
    grids = torch.rand(3, CHANNELS, 5, 5)
    image, length = torch.tensor([2, 0, 0, 1]), torch.tensor([3, 6, 1, 4])
    words = torch.randint(1, WORDS, (4, 6)) * (torch.arange(6) < length[:, None])
    answers = torch.tensor([[1, 4], [0, 0], [10, 2], [3, 0]])
    counts = torch.tensor([[6.0, 4.0], [10.0, 0.0], [1.0, 1.0], [9.0, 0.0]])
    answered = theirs(grids[image], words, length)
    batch = VqaBatch(
        grids.flatten(2).transpose(1, 2),
        torch.ones(3, 25, dtype=torch.bool),
        image,
        words,
        length,
        answers,
        counts / 10,
    )
    output = ours(batch)
    torch.testing.assert_close(output.logits, answered.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.attention, answered[1], atol=1e-5, rtol=1e-5)
    wanted = saaa.loss(answered.logits, saaa.dense_counts(answers, counts, 11))
    found = answer_loss(output, batch)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    wanted.backward()
    found.backward()
    assert names.gradient_difference(theirs, ours, names.SHOW_ASK_ATTEND_ANSWER) < 1e-5


def test_a_region_is_a_cell_row_by_row():
    """Region r of the flattened map is the cell (r // W, r % W), for every channel."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 3, 4, 5)
    regions = features.flatten(2).transpose(1, 2)
    for r in range(20):
        assert torch.equal(regions[:, r], features[:, :, r // 5, r % 5])
    assert functional.adaptive_avg_pool2d(features, 1).flatten(1).allclose(regions.mean(dim=1))
