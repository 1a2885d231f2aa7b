#!/bin/sh
# ROUGE-L, the longest common subsequence, of a caption in which words stand several times (most have
# two "a"): the package `rouge` counts each word once, two other packages count all of them.
#
# Packages: rouge 1.0.1, rouge-score 0.1.2, rouge-metric 1.0.1 (Python 3.11).
# Guessed:  the same F1 (beta 1) from the three, at least where no stemming or splitting comes in.
# Seen:     "a man and a woman and a child" against "a man and a woman": 0.8889 by rouge, 0.7692 by
#           the others (5 words in common of 8 and 5). rouge divides the 4 different words in common
#           by 5 and 4 different words. Without repeated words the three agree.
# Matters:  a captioner that repeats itself ("a cat and a cat and a cat"), the fault that ROUGE-L's
#           precision is there to show, loses nothing: 1.0 against "a cat and a cat".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "rouge==1.0.1" "rouge-score==0.1.2" "rouge-metric==1.0.1"
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from rouge import Rouge
from rouge_metric import PyRouge
from rouge_score.rouge_scorer import RougeScorer


def scores(caption, reference):
    found = {
        "rouge": Rouge().get_scores(caption, reference)[0]["rouge-l"]["f"],
        "rouge-score": RougeScorer(["rougeL"]).score(reference, caption)["rougeL"].fmeasure,
        "rouge-metric": PyRouge(rouge_l=True).evaluate([caption], [[reference]])["rouge-l"]["f"],
    }
    print(repr(caption), "against", repr(reference), {k: round(v, 4) for k, v in found.items()})
    return [round(value, 4) for value in found.values()]


assert scores("two dogs run", "two big dogs run") == [0.8571] * 3, "changed: words that stand once"
repeated = scores("a man and a woman and a child", "a man and a woman")
assert repeated == [0.8889, 0.7692, 0.7692], "changed: words that stand several times"
again = scores("a cat and a cat and a cat", "a cat and a cat")
assert again == [1.0, 0.7692, 0.7692], "changed: a caption that repeats itself"
PYTHON
echo "as stated"
