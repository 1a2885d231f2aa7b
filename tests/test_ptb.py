"""The treebank tokenizer against published behaviour, real captions and, where there is, Java."""

import importlib.util
import json
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.metrics.ptb import DROPPED, coco_words, ptb_tokens

# caption, tokens (as Stanford CoreNLP 3.4.1 gives them)
CAPTIONS = [
    ("A man's kite can't fly.", "a man 's kite ca n't fly ."),
    ("THEY'RE here, aren't they?", "they 're here , are n't they ?"),
    ("I cannot see; gonna go", "i can not see ; gon na go"),
    ("a two-year-old in a t-shirt", "a two-year-old in a t-shirt"),
    ('"STOP" sign', "`` stop '' sign"),
    ('a sign, "stop".', "a sign , `` stop '' ."),
    ("the 'old' mill, '80s style", "the ` old ' mill , '80s style"),
    ("the dogs' toys in 5 o'clock light", "the dogs ' toys in 5 o'clock light"),
    ("rock 'n' roll at O'Malley's", "rock 'n' roll at o'malley 's"),
    ("a po'boy", "a po ` boy"),
    ("$5.00 and 50% off, #11", "$ 5.00 and 50 % off , # 11"),
    ("1,000 at 3:30pm on 1/2/2010", "1,000 at 3:30 pm on 1/2/2010"),
    ("1 1/2 cups, 1½ cups", "1\xa01/2 cups , 1 1/2 cups"),
    ("5th of the 1950's, 2x4 and 6'2\"", "5th of the 1950 's , 2x4 and 6 ' 2 ''"),
    (
        "kitchen/bathroom (left) [x] {y}",
        "kitchen/bathroom -lrb- left -rrb- -lsb- x -rsb- -lcb- y -rcb-",
    ),
    ("wait... no.. two -- or--three - four", "wait ... no . . two -- or -- three - four"),
    ("oh!! really?!", "oh !! really ?!"),
    ("a sofa.with a lamp", "a sofa.with a lamp"),
    ("a lamp., and more", "a lamp. , and more"),
    ("U.S. flag at 3 p.m. on the TV", "u.s. flag at 3 p.m. on the tv"),
    ("made in the U.S. The end", "made in the u.s. . the end"),
    ("plan B. The end", "plan b . the end"),
    ("Mr. Smith vs. Dr. No, etc.", "mr. smith vs. dr. no , etc. ."),
    ("knives, etc. Some forks", "knives , etc. . some forks"),
    ("Main St. near Elm Ave. no. 5", "main st. near elm ave. no. 5"),
    ("AT&T and R&B and salt & pepper", "at&t and r&b and salt & pepper"),
    ("mail me@home.org or http://a.b/c.", "mail me@home.org or http://a.b/c ."),
    ("café \u2013 “naïve” \u2018x\u2019… £5 5¢", "café -- `` naïve '' ` x ' ... # 5 5 cents"),
    ("smile :) wink ;-)", "smile :-rrb- wink ;--rrb-"),
    ("a cat 😀", "a cat"),
    ("", ""),
    ("  \t ", ""),
]


@pytest.mark.parametrize(("caption", "tokens"), CAPTIONS)
def test_tokens(caption, tokens):
    assert " ".join(ptb_tokens(caption)) == tokens


def test_what_follows_decides_about_an_abbreviation_at_the_end():
    assert ptb_tokens("near a t.v.", "a dog")[-1] == "t.v."
    assert ptb_tokens("near a t.v.", "A dog")[-2:] == ["t.v.", "."]
    assert ptb_tokens("near a t.v.", "Dogs")[-1] == "t.v."
    assert ptb_tokens("near exit B.", "a dog")[-1] == "b."
    assert ptb_tokens("near exit B.", "A dog")[-2:] == ["b", "."]
    assert ptb_tokens("dogs, cats, etc.", "a dog")[-1] == "etc."
    assert ptb_tokens("dogs, cats, etc.", "Dogs")[-2:] == ["etc.", "."]


def test_coco_words_have_no_punctuation_but_brackets():
    captions = ['A "big"\ndog (left): 1 1/2 m, no -- yes!', "", "near exit B.", "A cat..."]
    assert coco_words(captions) == [
        ["a", "big", "dog", "-lrb-", "left", "-rrb-", "1", "1/2", "m", "no", "yes"],
        [],
        ["near", "exit", "b"],
        ["a", "cat"],
    ]


@given(st.text(alphabet="abzAT019 .,'\"-$%!?&/:;@#\n\u2019é", max_size=40))
def test_nothing_but_blanks_is_lost(text):
    tokens = ptb_tokens(text)
    assert all(tokens)
    letters = [character for token in tokens for character in token if character.isalnum()]
    assert letters == [character for character in text.lower() if character.isalnum()]


def pairs(path):
    """Rows of (raw, ptb, coco); the first column and line are about the file."""
    return [line.split("\t")[1:] for line in path.read_text("utf-8").split("\n")[1:] if line]


def test_every_real_pair_is_equal(real_data):
    rows = pairs(real_data("metrics-golden/ptb_pairs.tsv"))
    at_the_end = []
    for raw, ptb, coco in rows:
        tokens = ptb_tokens(raw, following="a")
        if " ".join(tokens) != ptb:
            at_the_end.append(raw)  # it ends in an abbreviation, and we know not what followed
            tokens = next(t for after in ("", "A ") if " ".join(t := ptb_tokens(raw, after)) == ptb)
        assert " ".join(token for token in tokens if token not in DROPPED) == coco
    assert len(rows) == 3000
    assert len(at_the_end) == 15
    assert all(raw.rstrip().endswith(".") for raw in at_the_end)


def test_hand_made_golden_captions(real_data):
    golden = json.loads(real_data("metrics-golden/ptb_golden.json").read_text())
    for caption, words in golden:
        assert " ".join(coco_words([caption])[0]) == words


def test_as_the_original(tmp_path):
    """The Java program itself, where Java and its archive are installed."""
    package = importlib.util.find_spec("pycocoevalcap")
    if shutil.which("java") is None or package is None:
        pytest.skip("Java or pycocoevalcap is not installed")
    archive = Path(package.submodule_search_locations[0], "tokenizer/stanford-corenlp-3.4.1.jar")
    captions = [caption for caption, _ in CAPTIONS]
    (tmp_path / "captions.txt").write_text("\n".join(captions), "utf-8")
    command = ["java", "-cp", str(archive), "edu.stanford.nlp.process.PTBTokenizer"]
    command += ["-preserveLines", "-lowerCase", str(tmp_path / "captions.txt")]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=60)
    official = [line.rstrip(" ") for line in run.stdout.split("\n")]
    ours = [" ".join(ptb_tokens(a, after)) for a, after in pairwise([*captions, ""])]
    assert ours == official[: len(ours)]
