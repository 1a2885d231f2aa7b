"""What the tests of single captioners ask, each against its own oracle."""

import copy
import functools
import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from saccade.data.batch import CaptionBatch, Sizes
from saccade.inference.decoding import Rules, beam_search
from tests.oracles import pairs, search

SIZES = Sizes(words=13, region_dim=6, regions=7)
OWN, SHARED = (11, 12, 0), (0, 0, 0)
"""Start, end and padding: three words of their own, or one for all (ruotianluo's data)."""


def caption_batch(
    special=OWN, *, regions=(7, 4, 6), pad_words=0, pad_regions=0, dtype=torch.float64
):
    """Five captions of three images, longest first; rubbish stands behind the real regions."""
    start, end, pad = special
    draw = torch.Generator().manual_seed(0)
    length = torch.tensor([6, 5, 5, 3, 2])
    words = torch.randint(1, 11, (5, 6), generator=draw)
    words[:, 0] = start
    words[torch.arange(5), length - 1] = end
    words = words.masked_fill(torch.arange(6) >= length[:, None], pad)
    most = max(regions) + pad_regions
    mask = torch.arange(most) < torch.tensor(regions)[:, None]
    values = torch.randn(3, max(regions), SIZES.region_dim, generator=draw, dtype=dtype)
    values = functional.pad(values, (0, 0, 0, pad_regions)).masked_fill(~mask[..., None], 9.0)
    return CaptionBatch(
        regions=values,
        region_mask=mask,
        image=torch.tensor([0, 1, 1, 0, 2]),
        caption=functional.pad(words, (0, pad_words), value=pad),
        caption_length=length,
    )


def own_images(batch):
    """The regions of each caption, real ones only, one tensor (R, D) for each."""
    return [batch.regions[i][batch.region_mask[i]] for i in batch.image.tolist()]


def packed(padded, batch):
    """From (B, T - 1, ...) to the real words only, time first."""
    return pack_padded_sequence(padded, batch.caption_length - 1, batch_first=True).data


def loss_of(output):
    loss = functional.cross_entropy(output.logits, output.targets)
    return loss if output.penalty is None else loss + output.penalty


def assert_reads_each_as(oracle, ours, batch, convert):
    """The same of an oracle that reads one caption at a time; and its attention to the regions."""
    told = [
        oracle(regions, caption[:length])
        for regions, caption, length in zip(
            own_images(batch), batch.caption, batch.caption_length, strict=True
        )
    ]
    logits = pad_sequence([logits for logits, _ in told], batch_first=True)
    assert_reads_as(oracle, ours, batch, convert, logits)
    attention = ours(batch).attention
    for row, (_, alpha) in enumerate(told):
        steps, regions = alpha.shape
        torch.testing.assert_close(attention[row, :steps, :regions], alpha)


def assert_reads_as(oracle, ours, batch, convert, predictions):
    """Same weights in both: same logits, same targets, same loss, same whole gradient."""
    wanted = packed(predictions, batch)
    output = ours(batch)
    torch.testing.assert_close(output.logits, wanted, rtol=0, atol=1e-9)
    torch.testing.assert_close(output.targets, packed(batch.caption[:, 1:], batch))
    functional.cross_entropy(wanted, output.targets).backward()
    loss_of(output).backward()
    assert pairs.gradient_gap(oracle, ours, convert) < 1e-9


@torch.no_grad()
def assert_says_as(log_p_of, ours, batch):
    """Greedy and beam captions of all images at once are those of a one-image search.

    `log_p_of(regions (R, D))` gives the oracle's next-word distribution after any words. Every
    third word is tried as the one that ends a caption, once as the start word as well.
    """
    model, regions = copy.deepcopy(ours).float().eval(), batch.regions.float()
    oracles = [
        functools.cache(log_p_of(shown[mask]))
        for shown, mask in zip(batch.regions, batch.region_mask, strict=True)
    ]
    lengths = set()
    for end, shared, beam_size in itertools.product(range(0, 13, 3), (False, True), (1, 2, 4)):
        start = end if shared else 11
        rules = Rules(start=start, end=end, max_length=7)
        said = beam_search(model, regions, batch.region_mask, rules, beam_size=beam_size)
        for log_p, hypothesis in zip(oracles, said, strict=True):
            wanted = search.beam_search(
                log_p, start=start, end=end, beam_size=beam_size, max_length=7
            )
            assert hypothesis.words == wanted.words
            assert abs(hypothesis.log_probability - wanted.score) < 1e-4
            lengths.add(len(hypothesis.words))
    assert len(lengths) > 2, "captions of nearly one length try too little: sharpen the weights"


def assert_steps_as_it_reads(ours, batch):
    """Decoding walks through the very states that training walked through."""
    read = ours.eval()(batch)
    state = ours.init_state(batch.regions, batch.region_mask).keep(batch.image)
    said = []
    for t in range(int(batch.caption_length.max()) - 1):
        step = ours.step(batch.caption[:, t : t + 1], state)
        state = step.state
        alive = batch.caption_length - 1 > t
        said.append(step.logits[alive, 0])
        for name in ("attention", "sentinel"):
            theirs, mine = getattr(step, name), getattr(read, name)
            assert (theirs is None) == (mine is None)
            if mine is not None:
                torch.testing.assert_close(theirs[alive, 0], mine[alive, t])
    torch.testing.assert_close(torch.cat(said), read.logits)


def assert_beams_do_not_mix(ours, batch):
    """Beams side by side say what each would say alone, after any reordering."""
    state = ours.eval().init_state(batch.regions, batch.region_mask)
    first = torch.tensor([[1, 2, 3]]).expand(len(batch.regions), 3)
    state = ours.step(first, state.pick(torch.zeros_like(first))).state
    order = torch.tensor([[2, 0, 0], [1, 1, 2], [0, 2, 1]])
    together = ours.step(torch.tensor([[4, 5, 6]]).expand(3, 3), state.pick(order)).logits
    for i in range(3):
        for k, word in enumerate((4, 5, 6)):
            alone = ours.init_state(batch.regions[i : i + 1], batch.region_mask[i : i + 1])
            alone = ours.step(first[i, order[i, k]].view(1, 1), alone).state
            wanted = ours.step(torch.tensor([[word]]), alone).logits[0, 0]
            torch.testing.assert_close(together[i, k], wanted)


def assert_padding_changes_nothing(ours, special=OWN, **more):
    plain = ours.eval()(caption_batch(special, **more))
    behind = ours(caption_batch(special, pad_words=2, pad_regions=3, **more))
    torch.testing.assert_close(plain.logits, behind.logits)
    if plain.attention is not None:
        steps, regions = plain.attention.shape[1:]
        torch.testing.assert_close(plain.attention, behind.attention[:, :steps, :regions])
        assert behind.attention[..., regions:].abs().sum() == 0
        assert behind.attention[:, steps:].abs().sum() == 0


def assert_attention_sums_to_one(ours, batch):
    """Over the real regions and the sentinel, for every word said; 0 behind a caption."""
    output = ours.eval()(batch)
    total = output.attention.sum(dim=-1)
    if output.sentinel is not None:
        total = total + output.sentinel
    real = torch.arange(total.shape[1]) < (batch.caption_length - 1)[:, None]
    torch.testing.assert_close(total, real.to(total.dtype))
    hidden = ~batch.region_mask[batch.image][:, None].expand(output.attention.shape)
    assert output.attention[hidden].abs().sum() == 0


def assert_learns_by_heart(ours, batch, learning_rate=3e-2, steps=120):
    """Every weight gets a gradient, and the captions are learnt; dropout must be 0."""
    batch = replace(batch, regions=batch.regions.float())
    optimiser = torch.optim.Adam(ours.train().parameters(), lr=learning_rate)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = loss_of(ours(batch))
        loss.backward()
        assert [n for n, p in ours.named_parameters() if p.grad is None] == []
        optimiser.step()
        if loss.item() < 0.5:  # two images have two captions each: their first word keeps doubt
            return
    pytest.fail(f"learns nothing: {loss.item()}")
