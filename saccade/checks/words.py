"""Findings about words: what a recipe's vocabulary makes of the texts of a data folder."""

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
