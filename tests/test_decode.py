"""Beam search and sampling, against a plain search over one image."""

import math
import random
from dataclasses import replace
from functools import partial

import pytest
import torch

from saccade.data.batch import CaptionState, DecoderOutput
from saccade.inference.decoding import Rules, beam_search, draw, likeliest_answers, replay
from tests.oracles import search

START, END = 1, 2


class Parrot:
    """A captioner without a network: what follows depends on the image and the last two words."""

    def __init__(self, seed: int, words: int, end_bias: float) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.table = torch.randn(8, words, words, words, generator=draw) * 2
        self.table[..., END] += end_bias

    def init_state(self, regions, region_mask):
        name = regions[:, 0, 0].long()  # which image it is
        first = torch.full((len(regions), 1), 0)
        return CaptionState((name,), (first,))

    def log_p(self, name, words):
        """Of what follows these words, the start word among them."""
        before, last = [0, *words][-2:]
        return self.table[name, before, last].log_softmax(0)

    def step(self, words, state):
        name, before = state.per_image[0], state.per_beam[0]
        logits = self.table[name[:, None], before, words]  # (I, K, V)
        return DecoderOutput(
            logits, CaptionState(state.per_image, (words,)), logits.softmax(-1)[..., :3]
        )


def images(names):
    return torch.tensor(names, dtype=torch.float32)[:, None, None], torch.ones(len(names), 1) > 0


def plain_beam_search(parrot, name, rules, beam_size):
    """One image, Python lists, no tricks: as the reference evaluation goes about it."""
    live, done, room = [([], 0.0, 0, rules.start)], [], beam_size
    for length in range(1, rules.max_length + 1):
        options = []
        for words, total, before, last in live:
            log_p = parrot.table[name, before, last].log_softmax(0)
            for word in rules.banned:
                log_p[word] = -math.inf
            if len(words) < rules.min_length:
                log_p[rules.end] = -math.inf
            n = rules.no_repeat_ngram_size
            if n:
                seen = {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}
                for run in seen:
                    if run[:-1] == tuple(words[len(words) - n + 1 :]) or n == 1:
                        log_p[run[-1]] = -math.inf
            for word in range(len(log_p)):
                if log_p[word] > -math.inf:
                    options.append((total + log_p[word].item(), words, word, last))
        options.sort(key=lambda option: -option[0])
        live = []
        for total, words, word, last in options[:room]:
            if word == rules.end:
                done.append((total / length**rules.length_penalty, words))
                room -= not rules.refill_beam
            else:
                live.append(([*words, word], total, last, word))
        if rules.keep_unfinished and length == rules.max_length:
            done += [(total / length**rules.length_penalty, words) for words, total, *_ in live]
        if not live or not room:
            break
    if done:
        return max(done, key=lambda pair: pair[0])[1]
    return max(live, key=lambda beam: beam[1])[0]


def invented_case(choose):
    """A parrot, images, a beam size and rules; now and then the rules leave nothing to say."""
    return (
        Parrot(choose.randrange(10_000), choose.randint(4, 9), choose.uniform(-6, 3)),
        [choose.randrange(8) for _ in range(choose.randint(1, 4))],
        choose.randint(1, 6),
        Rules(
            START,
            END,
            max_length=choose.randint(1, 9),
            min_length=choose.randint(0, 3),
            banned=choose.choice([(), (0, START), (START, 3)]),
            length_penalty=choose.choice([0.0, 0.7, 1.0]),
            no_repeat_ngram_size=choose.choice([0, 1, 2, 3]),
            refill_beam=choose.choice([False, True]),
            keep_unfinished=choose.choice([False, True]),
        ),
    )


def test_batched_search_says_what_a_plain_search_says_in_hundreds_of_cases():
    choose, cases, unended = random.Random(0), 0, 0
    while cases < 400:
        parrot, names, beam_size, rules = case = invented_case(choose)
        try:
            plain = [plain_beam_search(parrot, name, rules, beam_size) for name in names]
        except ValueError:  # the rules leave nothing to say
            continue
        batched = beam_search(parrot, *images(names), rules, beam_size=beam_size)
        assert [hypothesis.words for hypothesis in batched] == plain, case
        cases += 1
        unended += any(not hypothesis.ended for hypothesis in batched)
    assert unended > 20, "too few cases in which nothing ends"


def test_ruotianluos_beams_are_refilled_and_unfinished_captions_compete():
    choose, kinds = random.Random(2), set()
    for _ in range(250):
        parrot = Parrot(choose.randrange(10_000), choose.randint(8, 9), choose.uniform(-4, 2))
        beam_size, max_length = choose.randint(2, 5), choose.randint(2, 8)
        rules = Rules(START, END, max_length=max_length, banned=(3,))
        of_his = replace(rules, refill_beam=True, keep_unfinished=True)
        own = beam_search(parrot, *images(range(3)), rules, beam_size=beam_size)
        for name, said in enumerate(beam_search(parrot, *images(range(3)), of_his, beam_size)):
            wanted = search.ruotianluos_beam_search(
                partial(parrot.log_p, name),
                start=START,
                end=END,
                unknown=3,
                beam_size=beam_size,
                max_length=max_length,
            )
            assert said.words == wanted.words
            assert said.log_probability == pytest.approx(wanted.score, abs=4e-6)
            kinds.add((said.words == own[name].words, said.ended))
    assert len(kinds) == 4, "both rules must matter, with an end and without"


def test_what_is_banned_takes_its_probability_along():
    """Greedy, beams and samples: a word's probability is the one among all words."""
    parrot = Parrot(3, 7, -1.0)
    rules = Rules(START, END, max_length=6, banned=(0, 3))

    def by_hand(words):
        before, last, total = 0, START, 0.0
        for word in words:
            total += parrot.table[4, before, last].log_softmax(0)[word].item()
            before, last = last, word
        return total

    for beam_size in (1, 3):
        (said,) = beam_search(parrot, *images([4]), rules, beam_size=beam_size)
        ended = said.words + [END] * said.ended
        assert said.log_probability == pytest.approx(by_hand(ended), abs=4e-6)
    drawn = draw(
        parrot, *images([4]), rules, samples=50, generator=torch.Generator().manual_seed(0)
    )
    assert not set(drawn.words.unique().tolist()) & {0, 3}
    for row, length, log_p in zip(
        drawn.words[0].tolist(), drawn.length[0].tolist(), drawn.log_probability[0], strict=True
    ):
        assert log_p.sum().item() == pytest.approx(by_hand(row[:length]), abs=1e-5)
    first = drawn.words[0, :, 0]
    parrot.table[4, 0, START, [0, 3]] = 9.0  # whoever must not be said may be ever so likely
    again = draw(
        parrot, *images([4]), rules, samples=50, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(again.words[0, :, 0], first)


def plain_greedy(parrot, name, rules):
    """The likeliest allowed word, again and again; no list of beams anywhere."""
    words, before, last = [], 0, rules.start
    while len(words) < rules.max_length:
        logits = parrot.table[name, before, last].clone()
        logits[list(rules.banned)] = -math.inf
        if len(words) < rules.min_length:
            logits[END] = -math.inf
        word = int(logits.argmax())
        if word == END:
            return words, True
        words.append(word)
        before, last = last, word
    return words, False


def test_one_beam_is_greedy():
    choose = random.Random(1)
    for _ in range(200):
        parrot, names, _, rules = invented_case(choose)
        rules = replace(rules, no_repeat_ngram_size=0)
        said = beam_search(parrot, *images(names), rules, beam_size=1)
        assert [(s.words, s.ended) for s in said] == [plain_greedy(parrot, n, rules) for n in names]


@pytest.mark.parametrize("beam_size", [1, 3])
def test_nothing_ends_and_there_is_an_answer_all_the_same(beam_size):
    """At the limit the likeliest unfinished caption is taken, and says that it did not end."""
    parrot, rules = Parrot(0, 6, end_bias=-1e9), Rules(START, END, max_length=7)
    for name, hypothesis in enumerate(
        beam_search(parrot, *images(range(8)), rules, beam_size=beam_size)
    ):
        assert hypothesis.words == plain_beam_search(parrot, name, rules, beam_size)
        assert len(hypothesis.words) == 7
        assert not hypothesis.ended


def starving(words=4):
    """Image 1 gives every word but 0 and 3 no probability at all; the others are usual."""
    parrot = Parrot(3, words, end_bias=2.0)
    parrot.table[1] = -math.inf
    parrot.table[1, ..., [0, 3]] = 0.0
    return parrot


STARVED = [
    (Rules(START, END, banned=(0, START), no_repeat_ngram_size=1, max_length=9), [3]),
    (Rules(START, END, banned=(0, START, 3), max_length=9), []),
    (Rules(START, END, banned=(0, START), no_repeat_ngram_size=2, max_length=9), [3, 3]),
]


@pytest.mark.parametrize(("rules", "left"), STARVED)
@pytest.mark.parametrize("refill", [False, True])
@pytest.mark.parametrize("beam_size", [1, 3, 5])
def test_an_image_without_a_word_left_keeps_its_place(rules, left, refill, beam_size):
    parrot, rules = starving(), replace(rules, refill_beam=refill)
    together = beam_search(parrot, *images([0, 1, 2]), rules, beam_size=beam_size)
    alone = [beam_search(parrot, *images([n]), rules, beam_size=beam_size) for n in range(3)]
    assert [one.words for one in together] == [one.words for (one,) in alone]
    assert (together[1].words, together[1].ended) == (left, False)
    assert together[1].log_probability == pytest.approx(len(left) * math.log(0.5))


def test_min_length_that_no_word_can_fill():
    rules = Rules(START, END, banned=(0, START), min_length=8, no_repeat_ngram_size=1)
    said = beam_search(Parrot(3, 4, 0.0), *images(range(4)), rules)
    assert [(one.words, one.ended) for one in said] == [([3], False)] * 4


@pytest.mark.parametrize(("rules", "left"), STARVED)
def test_a_sample_without_a_word_left_is_over(rules, left):
    drawn = draw(starving(), *images([0, 1, 2]), rules, samples=6, top_p=0.99)
    for sample in range(6):
        assert drawn.words[1, sample, : drawn.length[1, sample]].tolist() == left
        log_p = drawn.log_probability[1, sample]
        assert log_p.sum().item() == pytest.approx(len(left) * math.log(0.5))
    assert drawn.words.shape[:2] == (3, 6)


def test_log_probability_is_that_of_the_words():
    parrot = Parrot(5, 7, end_bias=1.0)
    hypothesis = beam_search(parrot, *images([4]), Rules(START, END), beam_size=4)[0]
    before, last, total = 0, START, 0.0
    for word in [*hypothesis.words, END]:
        total += parrot.table[4, before, last].log_softmax(0)[word].item()
        before, last = last, word
    assert hypothesis.log_probability == pytest.approx(total, abs=1e-5)


def test_replay_hands_out_where_the_model_looked_for_each_word():
    parrot = Parrot(1, 6, 0.0)
    rules = Rules(START, END)
    maps, sentinels = replay(parrot, *images([0, 3]), [[3, 4, 5], [4]], rules)
    assert [tuple(m.shape) for m in maps] == [(3, 3), (1, 3)]
    assert sentinels == [None, None]
    expected = parrot.table[0, 3, 4].softmax(-1)[:3]  # said 3, 4; now looking for the third word
    torch.testing.assert_close(maps[0][2], expected)


def test_sampling_follows_the_distribution_and_its_cuts():
    parrot = Parrot(2, 6, 0.0)
    many, mask = images([0]).__iter__()
    many, mask = many.expand(4000, 1, 1), mask.expand(4000, 1)
    rules = Rules(START, END, max_length=1)
    random = torch.Generator().manual_seed(0)
    first = draw(parrot, many, mask, rules, generator=random).words[:, 0, 0]
    share = torch.bincount(first, minlength=6) / 4000
    wanted = parrot.table[0, 0, START].softmax(0)
    assert (share - wanted).abs().max() < 0.03
    best = int(wanted.argmax())
    for cut in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-3}):
        drawn = draw(parrot, many[:50], mask[:50], rules, generator=random, **cut)
        assert drawn.words.unique().tolist() == [best]


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_answers_are_ranked_by_logits_where_probabilities_are_all_alike(loss):
    """A sigmoid of 20 is 1 and of -200 is 0; one answer or five, the first is the same."""
    logits = torch.tensor([[20.0, 40, 30, -200, -110], [-300, -200, -200, -150, -400]])
    ids, probabilities = likeliest_answers(logits, loss, top=9)
    assert ids.tolist() == [[1, 2, 0, 4, 3], [3, 1, 2, 0, 4]]
    every = logits.sigmoid() if loss == "logistic" else logits.softmax(1)
    torch.testing.assert_close(probabilities, every.gather(1, ids))
    draw = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16):  # in which many are equal
        many = torch.randint(-40, 40, (50, 700), generator=draw).to(dtype)
        one, some = (likeliest_answers(many, loss, top=top)[0] for top in (1, 5))
        assert torch.equal(one, some[:, :1])
