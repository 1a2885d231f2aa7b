"""Beam search and sampling, against a plain search over one image."""

import math
import random
from dataclasses import replace

import pytest
import torch

from saccade.data.batch import CaptionState, DecoderOutput
from saccade.inference.decoding import Rules, beam_search, draw, replay

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
            logits = parrot.table[name, before, last].clone()
            for word in rules.banned:
                logits[word] = -math.inf
            if len(words) < rules.min_length:
                logits[rules.end] = -math.inf
            n = rules.no_repeat_ngram_size
            if n:
                seen = {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}
                for run in seen:
                    if run[:-1] == tuple(words[len(words) - n + 1 :]) or n == 1:
                        logits[run[-1]] = -math.inf
            log_p = logits.log_softmax(0)
            for word in range(len(log_p)):
                if log_p[word] > -math.inf:
                    options.append((total + log_p[word].item(), words, word, last))
        options.sort(key=lambda option: -option[0])
        live = []
        for total, words, word, last in options[:room]:
            if word == rules.end:
                done.append((total / length**rules.length_penalty, words))
            else:
                live.append(([*words, word], total, last, word))
        room = beam_size - len(done)
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
        ),
    )


def test_batched_search_says_what_a_plain_search_says_in_a_thousand_cases():
    choose, cases, unended = random.Random(0), 0, 0
    while cases < 1000:
        parrot, names, beam_size, rules = case = invented_case(choose)
        try:
            plain = [plain_beam_search(parrot, name, rules, beam_size) for name in names]
        except ValueError:  # the rules leave nothing to say
            continue
        batched = beam_search(parrot, *images(names), rules, beam_size=beam_size)
        assert [hypothesis.words for hypothesis in batched] == plain, case
        cases += 1
        unended += any(not hypothesis.ended for hypothesis in batched)
    assert unended > 50, "too few cases in which nothing ends"


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
