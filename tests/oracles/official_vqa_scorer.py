"""The official VQA scorer once more, step by step from its description, character by character.

Slow and plain on purpose, and without the regular expressions and closed forms of the package.
The contraction table is the package's own: a test pins it by its published hash.
"""

import unicodedata

from saccade.text.answers import CONTRACTIONS

MARKS = [";", "/", "[", "]", '"', "{", "}", "(", ")", "=", "+", "\\", "_", "-", ">", "<", "@", "`"]
MARKS += [",", "?", "!"]
NUMBERS = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip


def tidy(text):
    return text.replace("\n", " ").replace("\t", " ").strip()


def has_digit_comma_digit(text):
    for i in range(1, len(text) - 1):
        if text[i] == "," and text[i - 1].isdecimal() and text[i + 1].isdecimal():
            return True
    return False


def punctuation(text):
    working = text
    delete_all = has_digit_comma_digit(text)
    for mark in MARKS:
        if mark not in working:
            continue
        if delete_all or mark + " " in text or " " + mark in text:
            working = "".join(c for c in working if c != mark)
        else:
            working = "".join(" " if c == mark else c for c in working)
    kept, deleted = [], 0
    for i, c in enumerate(working):
        before_digit = i + 1 < len(working) and working[i + 1].isdecimal()
        if c == "." and not before_digit and deleted < 32:
            deleted += 1
        else:
            kept.append(c)
    return "".join(kept)


def digits_and_articles(text):
    words = []
    for raw in text.lower().split():
        word = NUMBERS.get(raw, raw)
        if word not in ("a", "an", "the"):
            words.append(word)
    for i in range(len(words)):
        if words[i] in CONTRACTIONS:
            words[i] = CONTRACTIONS[words[i]]
    return " ".join(words)


def normalised_2021(prediction, answers):
    answers = [tidy(a) for a in answers]
    prediction = tidy(prediction)
    if any(a != answers[0] for a in answers):
        answers = [digits_and_articles(punctuation(a)) for a in answers]
        prediction = digits_and_articles(punctuation(prediction))
    return prediction, answers


def normalised_2016(prediction, answers):
    prediction = digits_and_articles(punctuation(tidy(prediction)))
    if any(a != answers[0] for a in answers):
        answers = [punctuation(a) for a in answers]
    return prediction, answers


def leave_one_out(prediction, answers):
    total = 0
    for left_out in range(len(answers)):
        matches = 0
        for other in range(len(answers)):
            if other != left_out and answers[other] == prediction:
                matches += 1
        total += min(1, matches / 3)
    return total / len(answers)


def normalised_always(said, answers):
    """Ours: the full official normaliser on both sides; where it would leave nothing, letters stay,
    else marks. Wide letters and digits of other scripts are read as ASCII first.
    """

    def full(text):
        text = text.replace("\n", " ").replace("\t", " ").strip()
        marks_gone = punctuation(text)
        kept = digits_and_articles(marks_gone)
        return kept or " ".join(marks_gone.lower().split())

    def whole(text):
        text = unicodedata.normalize("NFKC", text)
        text = "".join(str(unicodedata.decimal(letter, letter)) for letter in text)
        return full(text) or text.strip().lower()

    return whole(said), [whole(answer) for answer in answers]


NORMALISED = {"2021-03": normalised_2021, "2016": normalised_2016, "always": normalised_always}
ACCURACY = {
    revision: lambda said, answers, of=of: leave_one_out(*of(said, answers))
    for revision, of in NORMALISED.items()
}
