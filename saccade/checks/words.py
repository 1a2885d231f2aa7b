"""Findings about words: what a recipe's vocabulary makes of the texts of a data folder."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from saccade.checks.catalogue import evenly, finding
from saccade.checks.labels import ENOUGH, SAMPLE, check_answer_list
from saccade.core.tasks import TASK_INFO, RecordKind
from saccade.data.checks import Finding
from saccade.data.folder import CAPTION_TOKENIZER, DataFolder
from saccade.data.records import Split
from saccade.experiment import Experiment
from saccade.text.tokenizers import FILE, TOKENIZERS, as_question

LEAST_CUT = 30
"""Different texts at the limit, so that a few sentences of one length are none."""


def check_words(experiment: Experiment) -> Iterator[Finding]:
    """Findings about the vocabulary, the answer list and the lengths that a recipe allows."""
    recipe, folder, vocabulary = experiment.recipe, experiment.folder, experiment.words.vocabulary
    kind = TASK_INFO[recipe.task].records
    if recipe.answers:
        yield from check_answer_list(folder, experiment.words)
    tokenizer, limit = recipe.text.tokenizer, recipe.text.max_length
    if tokenizer.startswith(FILE):
        return
    counts = folder.word_counts(tokenizer, kind)
    total = sum(counts.values())
    known = frozenset(vocabulary.words)
    lost = {word: count for word, count in counts.items() if word not in known}
    share = sum(lost.values()) / total
    some = [word for word, _ in Counter(lost).most_common(3)]
    numbers = {"share": share, "words": len(counts), "known": len(counts) - len(lost)}
    message = f"{share:.0%} of the words of training {kind} are unknown words"
    if share > 0.95:
        yield finding(f"{kind}-unknown", message, numbers=numbers, examples=some)
    elif share > 0.3 and total >= ENOUGH:
        yield finding("many-words-unknown", message, numbers=numbers, examples=some)
    if limit is None:
        return
    texts = sampled_words(folder, kind, "train", tokenizer)
    longer = sum(len(words) > limit for words in texts)
    if longer > 0.5 * len(texts):
        message = f"{longer:,} of {len(texts):,} training {kind} are longer than {limit} words"
        numbers = {"share": longer / len(texts), "max_length": limit}
        yield finding("texts-cut", message, count=longer, numbers=numbers)


def check_validation_words(folder: DataFolder, kind: RecordKind) -> Iterator[Finding]:
    """Whether the words of the validation texts occur in training at all."""
    tokenizer = CAPTION_TOKENIZER
    if kind == "questions":
        tokenizer = folder.tokenizer_for(tokenizer)
    train = folder.word_counts(tokenizer, kind)
    texts = sampled_words(folder, kind, "val", tokenizer)
    val = Counter(word for words in texts for word in words)
    lost = {word: count for word, count in val.items() if word not in train}
    if (total := val.total()) >= ENOUGH and (count := sum(lost.values())) > 0.5 * total:
        message = f"{count:,} of {total:,} words of validation {kind} never occur in training"
        yield finding("validation-words-unknown", message, count=count,
                      numbers={"share": count / total},
                      examples=[word for word, _ in Counter(lost).most_common(3)])  # fmt: skip


def check_cut_texts(folder: DataFolder, kind: RecordKind) -> Iterator[Finding]:
    """Whether training texts were cut at a number of characters, as a database column does.

    Then many end there, few just before, and many of their last words are beginnings of others.
    """
    table = folder.caption_table if kind == "captions" else folder.question_table
    column = table("train").column("text")
    texts = [text.strip() for text in column.take(evenly(len(column), SAMPLE)).to_pylist()]
    count_of = Counter(map(len, texts))
    limit = max(count_of, default=0)
    at_limit = {text for text in texts if len(text) >= limit - 1}  # a blank at the end was stripped
    count, before = count_of[limit] + count_of[limit - 1], count_of[limit - 2] + count_of[limit - 3]
    if count < 0.1 * len(texts) or count < 5 * before or len(at_limit) < LEAST_CUT:
        return
    whole = sorted({word for text in texts for word in text.split()[:-1]})
    ends = {text.split()[-1] for text in at_limit} - set(whole)
    parts = [end for end in ends if _next(whole, end).startswith(end)]
    if len(parts) > 0.1 * len(at_limit):
        message = f"{count:,} of {len(texts):,} training {kind} end at {limit} characters, and "
        message += f"{len(parts):,} of their last words are beginnings of words"
        examples = [text for text in at_limit if text.split()[-1] in parts][:3]
        yield finding("texts-cut-off", message, count=count,
                      numbers={"characters": limit, "share": count / len(texts)},
                      examples=examples)  # fmt: skip


def _next(words: list[str], word: str) -> str:
    """The first of sorted `words` that comes after a word that is none of them; else "-"."""
    place = bisect_left(words, word)
    return words[place] if place < len(words) else "-"


def sampled_words(
    folder: DataFolder, kind: RecordKind, split: Split, tokenizer: str
) -> list[list[str]]:
    """The words of questions or captions of a split, at most `SAMPLE` of them, evenly spaced."""
    if kind == "captions":
        column = folder.caption_table(split).column("words")
        return column.take(evenly(len(column), SAMPLE)).to_pylist()  # type: ignore[no-any-return]
    column = folder.question_table(split).column("text")
    cut = TOKENIZERS.look_up(tokenizer)
    texts = column.take(evenly(len(column), SAMPLE)).to_pylist()
    return [list(cut(as_question(text))) for text in texts]
