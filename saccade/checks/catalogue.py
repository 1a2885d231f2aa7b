"""The findings of `saccade check`: what can be wrong with data and features, before training.

A finding is an error where training would be wasted for certain, a warning where it may be, and a
note where nobody can know. The thresholds stand with the probes; where they were measured is told
in `docs/check.md`. No torch is imported here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from saccade.core.errors import in_number
from saccade.core.tables import Table
from saccade.data.checks import Finding

Group = Literal["labels", "words", "splits", "features", "images", "machine", "model", "training"]
EXAMPLES = 3
"""Examples that a finding has at most."""


class FindingInfo(NamedTuple):
    """What is known of a finding before any data are read."""

    group: Group
    level: Literal["error", "warning", "note"]
    about: str
    """What is looked at, and the threshold."""
    cause: str
    """What most often leads to it."""
    hint: str
    """What to do next."""


_COLUMNS = "Another column, or another file, was taken for the answers."
_PREPARE = "See where the answers come from (`dataset.json` lists the files), and prepare again."
_OTHER_FILES = "Give the files of one release, and prepare again."
_EXTRACT = "Extract them again under another --name, from the images as they are."
_BACKBONE = "Extract again with a trained backbone and its own preprocessing."


def _model(about: str, cause: str, hint: str) -> FindingInfo:
    """Of the model that `check --probe` tries, and `train` before its first step."""
    return FindingInfo("model", "warning", about, cause, hint)


def _training(about: str, cause: str, hint: str) -> FindingInfo:
    """Of a run while it trains: only `train` can find it."""
    return FindingInfo("training", "warning", about, cause, hint)


FINDINGS: Table[FindingInfo] = Table(
    "finding",
    {
        "no-answers": FindingInfo(
            "labels",
            "error",
            "training questions: none has an answer, or all answers are empty",
            "The answers are secret, or their column was not read.",
            _PREPARE,
        ),
        "empty-answers": FindingInfo(
            "labels",
            "warning",
            "training questions: over 5 % have no answer",
            "The source has none there, or a column is filled in part.",
            "Nothing to do, if that is known: they are left out of training.",
        ),
        "one-answer": FindingInfo(
            "labels",
            "error",
            "training answers: all are the same",
            _COLUMNS,
            _PREPARE,
        ),
        "top-answer": FindingInfo(
            "labels",
            "warning",
            "training answers: the most frequent one is 90 % of all or more",
            "The labels are unbalanced, or were not what was meant.",
            "Compare every score with the most frequent answer's, or balance the answers.",
        ),
        "stop-word-answers": FindingInfo(
            "labels",
            "error",
            "training answers: over 5 % are articles, prepositions and the like",
            "Words of captions were taken for answers.",
            "Train a captioning recipe on the captions, or give real answers.",
        ),
        "answers-met-once": FindingInfo(
            "labels",
            "error",
            "training answers: over 80 % of questions have an answer that no other one has",
            "Free text, ids or captions stand in place of answers; a model chooses from a list.",
            "Give short answers that repeat, or train a captioning recipe.",
        ),
        "answers-in-questions": FindingInfo(
            "labels",
            "warning",
            "training questions: over 80 % contain their own answer",
            "Captions were taken for questions and their words for answers; or the answer was "
            "exported into the question.",
            "Look at some of them, and give real questions.",
        ),
        "statements": FindingInfo(
            "labels",
            "warning",
            "training questions: over 50 % look like statements (English: no question mark, no "
            "question word)",
            "Captions or titles were taken for questions.",
            "Look at some of them, and give real questions.",
        ),
        "questions-equal": FindingInfo(
            "labels",
            "warning",
            "training questions: all are the same",
            "A fixed text was put in place of questions, or labels of images became answers.",
            "Nothing to do for labels of images; a model will not learn to read questions.",
        ),
        "answers-without-image": FindingInfo(
            "labels",
            "warning",
            "training questions asked of several images: over 95 % always have the same answer",
            "The question alone decides, so there is nothing to learn from images.",
            "Compare with question_only after `saccade evaluate`, or ask what images decide.",
        ),
        "answers-unrelated": FindingInfo(
            "labels",
            "warning",
            "association of training answers with their questions, against 200 permutations",
            "Answers were shuffled or shifted against the questions.",
            "Compare some records with the source, then prepare again.",
        ),
        "validation-answers-unknown": FindingInfo(
            "labels",
            "error",
            "validation answers: under 50 % occur in training (or in the recipe's answer list)",
            "Training and validation are of different releases or languages.",
            _OTHER_FILES,
        ),
        "small-answer-list": FindingInfo(
            "labels",
            "warning",
            "the recipe's answer list: it has the answers of under 50 % of training questions",
            "answers.size is small, or answers.min_count is large.",
            "Change them: --set answers.size=none --set answers.min_count=1.",
        ),
        "one-caption": FindingInfo(
            "labels",
            "error",
            "training captions: all are the same",
            "A fixed text was put in place of captions.",
            "See where the captions come from, and prepare again.",
        ),
        "top-caption": FindingInfo(
            "labels",
            "warning",
            "training captions: over 50 % are the same sentence",
            "Names of classes, or an empty form, stand in place of captions.",
            "Nothing to do, if that is known: compare with constant_caption.",
        ),
        "captions-ask": FindingInfo(
            "labels",
            "warning",
            "training captions: over 50 % end with a question mark",
            "Questions were taken for captions.",
            "Prepare questions with their answers, and train a VQA recipe.",
        ),
        "questions-unknown": FindingInfo(
            "words",
            "error",
            "the recipe's vocabulary: it lacks over 95 % of the words of training questions",
            "text.min_count is larger than almost every count, or the tokenizer does not fit.",
            "Give --set text.min_count=1.",
        ),
        "captions-unknown": FindingInfo(
            "words",
            "error",
            "the recipe's vocabulary: it lacks over 95 % of the words of training captions",
            "text.min_count is larger than almost every count.",
            "Give --set text.min_count=1.",
        ),
        "many-words-unknown": FindingInfo(
            "words",
            "warning",
            "the recipe's vocabulary: it lacks 30 % to 95 % of the words of training texts",
            "text.min_count is large for so few texts.",
            "Give a smaller one: --set text.min_count=1.",
        ),
        "texts-cut-off": FindingInfo(
            "words",
            "warning",
            "training questions or captions: 10 % or more end at one number of characters, many of "
            "them within a word",
            "A column of the database or the table holds no more characters.",
            "Export the texts again, whole, and prepare again.",
        ),
        "texts-cut": FindingInfo(
            "words",
            "warning",
            "text.max_length: over 50 % of training texts are longer",
            "Longer questions are cut off, longer captions are left out.",
            "Give --set text.max_length=none.",
        ),
        "validation-words-unknown": FindingInfo(
            "words",
            "warning",
            "words of validation texts: over 50 % never occur in training",
            "Training and validation are of different languages or releases.",
            _OTHER_FILES,
        ),
        "few-examples": FindingInfo(
            "splits",
            "warning",
            "training questions or captions: under 100",
            "The data set is tiny, or most of it was left out.",
            "See what was left out (`saccade prepare`); so few teach a model nothing.",
        ),
        "no-validation": FindingInfo(
            "splits",
            "warning",
            "the validation split: it has nothing to score by",
            "The source has none, or its answers are secret.",
            "Take some training images for it: saccade prepare ... --hold-out 0.1.",
        ),
        "small-validation": FindingInfo(
            "splits",
            "warning",
            "the validation split: under 100 questions (or images with captions), or under 20 "
            "images",
            "The 95 % interval of a score is too wide to choose an epoch by.",
            "Hold out more images (--hold-out), and do not compare epochs by few points.",
        ),
        "copied-images": FindingInfo(
            "splits",
            "warning",
            "image files of validation and test: some have the same bytes as one of another split",
            "One image stands in the data under several names.",
            "Leave the copies out, or say so beside every score: the model has learnt them.",
        ),
        "near-copied-images": FindingInfo(
            "splits",
            "warning",
            "features of validation and test images: over 1 % are those of a training image, by a "
            "cosine over 0.999; or over 10 % are less than half as far from one as the distances "
            "of the 20th and 60th nearest lead one to expect",
            "Copies were saved again or changed a little (cut, turned, made brighter) before the "
            "data was split, or the images are neighbours in a video.",
            "Split by original image, scene, video or patient, and change images afterwards; "
            "scores on copies say little about new images.",
        ),
        "splits-look-different": FindingInfo(
            "splits",
            "warning",
            "features of training images, and of validation and test images: a linear classifier "
            "tells them apart with an area under the ROC curve over 0.95",
            "One split was made in another way (a box or a label drawn into it, another size, "
            "another quality), or comes from another camera, hospital or video.",
            "Look at some images of each split; make all in one way, and extract again.",
        ),
        "nan-features": FindingInfo(
            "features",
            "error",
            "features: some are no numbers (NaN)",
            "The backbone's weights or the feature file are broken, or float16 was too small.",
            _EXTRACT,
        ),
        "infinite-features": FindingInfo(
            "features",
            "error",
            "features: some are infinite",
            "The numbers were too large for float16, or the feature file is broken.",
            "Extract or import again with --dtype float32 and another --name.",
        ),
        "zero-features": FindingInfo(
            "features",
            "error",
            "features: all numbers of an image are 0",
            "The features of these images were never written.",
            _EXTRACT,
        ),
        "constant-features": FindingInfo(
            "features",
            "error",
            "features: all numbers of an image are equal",
            "A placeholder was written in place of features.",
            _EXTRACT,
        ),
        "repeated-features": FindingInfo(
            "features",
            "error",
            "features: over 5 % of the images have the very same",
            "One row was written for many images, or the images are one placeholder.",
            _EXTRACT,
        ),
        "no-spread": FindingInfo(
            "features",
            "error",
            "features: those of different images differ by under 0.1 % of their size",
            "The images are all alike to the network: wrong mean and std, or divided by 255 twice.",
            _BACKBONE,
        ),
        "features-changed": FindingInfo(
            "features",
            "error",
            "features: some are not what was written when the store was made",
            "The files of the store were changed, shuffled or damaged since.",
            "`saccade store verify` reads all; copy the store again, or extract it again.",
        ),
        "untrained-backbone": FindingInfo(
            "features",
            "warning",
            "the store's backbone: its weights are random",
            "It was extracted with --weights random.",
            "Extract again with trained weights: --weights hub, or a file.",
        ),
        "features-unrelated": FindingInfo(
            "features",
            "warning",
            "association of features with answers or captions of 300 training images or more: "
            "under 3 standard deviations above chance, where these predict each other",
            "Features are random, shuffled or shifted against the ids, or too weak for this task.",
            "See a few images beside their questions; extract again, or try a better backbone.",
        ),
        "features-unclear": FindingInfo(
            "features",
            "note",
            "the same where questions or captions of an image do not predict each other either",
            "There is too little data for this test, or the features are too weak for this task.",
            "Nothing to do now; see the gain by the image after `saccade evaluate`.",
        ),
        "images-left-out": FindingInfo(
            "features",
            "warning",
            "the feature store: over 2 % of the images have no features",
            "Their files cannot be read, or the feature file lacks them.",
            "Mend the files that `skipped.json` names, and extract again under another --name.",
        ),
        "most-images-left-out": FindingInfo(
            "features",
            "error",
            "the feature store: over half of the images have no features",
            "Their files cannot be read, or the feature file is of another data set.",
            "Mend the files that `skipped.json` names, and extract again under another --name.",
        ),
        "no-statistics": FindingInfo(
            "features",
            "note",
            "the feature store: it keeps no statistics of its images",
            "An older version of saccade made it; some of its images are read each time instead.",
            "Extract again to have image files compared as well.",
        ),
        "images-replaced": FindingInfo(
            "images",
            "error",
            "image files: some are not those that the features were extracted from",
            "The files were replaced under their names after `saccade extract`.",
            _EXTRACT,
        ),
        "one-placeholder": FindingInfo(
            "images",
            "error",
            "image files: over 5 % have the very same bytes",
            "A placeholder stands in place of images that could not be had.",
            "Get the images, or leave those records out, and prepare again.",
        ),
        "normalised-images": FindingInfo(
            "images",
            "error",
            "pixels: over half of the images have no value above 2 of 255",
            "Images were divided by 255, or normalised, before they were saved.",
            "Save them with values of 0 to 255.",
        ),
        "black-images": FindingInfo(
            "images",
            "warning",
            "pixels: over half of the images have a mean below 5 of 255",
            "They were saved wrongly, or their 16 bits are shown through a wrong window.",
            "Open some; see --option window of `saccade prepare`.",
        ),
        "white-images": FindingInfo(
            "images",
            "warning",
            "pixels: over half of the images have a mean above 250 of 255",
            "They were saved wrongly, or their 16 bits are shown through a wrong window.",
            "Open some; see --option window of `saccade prepare`.",
        ),
        "exchanged-channels": FindingInfo(
            "images",
            "note",
            "pixels: blue is brighter than red by 10 of 255, on average of all images",
            "Images saved by OpenCV may have red and blue exchanged; seas and skies are blue, too.",
            "Open some: if faces are blue, exchange the channels and extract again.",
        ),
        "preprocessing-range": FindingInfo(
            "images",
            "error",
            "the store's mean and std: not on a scale of 0..1 (std not below 1/256)",
            "Mean and std of 0..255 were given where those of 0..1 belong.",
            "Extract again with mean and std divided by 255.",
        ),
        "memory": FindingInfo(
            "machine",
            "error",
            "memory: weights, gradients and moments take over 95 % of what is free",
            "The model is too large for this machine, or other programs hold its memory.",
            "Choose a smaller model (--set model.hidden=...), or another machine.",
        ),
        "disk": FindingInfo(
            "machine",
            "error",
            "disk: the run needs more than is free, with a tenth to spare",
            "The best weights, the state of the last epoch and its successor are kept.",
            "Make room, or choose another --out.",
        ),
        "model-tried": FindingInfo(
            "model",
            "note",
            "the recipe's model: the loss of 64 examples falls in 100 steps or fewer",
            "A copy of the model was trained on a few of the training examples.",
            "Nothing to do: it can learn from these data.",
        ),
        "model-not-tried": FindingInfo(
            "model",
            "note",
            "the recipe's model: it cannot be tried, or is too slow for 20 steps",
            "The model is large, or what it needs is not there yet.",
            "Nothing to do: training tells the rest.",
        ),
        "cannot-learn": _model(
            "the loss of 64 examples: it falls by under 20 % in 100 steps, also by Adam at 0.001",
            "The model cannot tell its examples apart.",
            "Look at the features and the questions: are they all alike?",
        ),
        "learning-rate-too-low": _model(
            "the same, but by Adam at 0.001 it falls; or all steps together move no weight",
            "train.optimiser.learning_rate is low for this optimiser.",
            "Raise it: --set train.optimiser.learning_rate=0.001.",
        ),
        "learning-rate-too-high": _model(
            "the same where the learning rate is higher than 0.001",
            "train.optimiser.learning_rate is high for this optimiser.",
            "Lower it: --set train.optimiser.learning_rate=0.001.",
        ),
        "weight-decay-too-high": _model(
            "the same, but without weight decay it falls",
            "train.optimiser.weight_decay draws weights to 0 faster than they learn.",
            "Lower it: --set train.optimiser.weight_decay=0.",
        ),
        "no-gradient": _model(
            "weights: some get no gradient in any of these steps",
            "The model does not use them, or what they read is empty.",
            "They stay as they are: see whether this recipe needs them.",
        ),
        "image-without-effect": _model(
            "the output: it is the same for other images",
            "The features of different images are equal, or the model ignores them.",
            "Extract the features again.",
        ),
        "question-without-effect": _model(
            "the output: it is the same for other questions, or all their words are one",
            "The words of questions are unknown to the model.",
            "Look at text.min_count, text.max_length and text.tokenizer: are words unknown?",
        ),
        "padding-has-effect": _model(
            "the output: an example alone has another than in a batch",
            "The model reads padding, or examples see each other.",
            "Mend the model, if it is your own.",
        ),
        "schedule-without-effect": _model(
            "train.schedule: it never moves the learning rate by 0.1 % in the steps of the run",
            "The schedule is made for a longer run.",
            "Shorten its times to those of the run, or set train.schedule.kind=constant.",
        ),
        "warmup-too-long": _model(
            "train.schedule: it never reaches a tenth of the learning rate",
            "The warm-up is longer than the run.",
            "Shorten train.schedule.warmup_steps to a tenth of the run.",
        ),
        "schedule-dead": _model(
            "train.schedule: under a thousandth of the peak is left for half of the run or more",
            "The schedule falls too fast for so long a run.",
            "Lengthen its times to those of the run, or train for fewer epochs.",
        ),
        "too-many-workers": _model(
            "train.workers: there are fewer cores",
            "The recipe was written for another machine.",
            "Set train.workers to a core less than there are.",
        ),
        "exploding-gradient": _training(
            "the gradient's norm: over 1,000 times the median of the first ten measured",
            "The learning rate is too high, or the gradient is not clipped.",
            "Lower it, or clip the gradient: --set train.clip_norm=1.",
        ),
        "one-prediction": _training(
            "validation predictions: 95 % are one, and under 80 % of the human ones",
            "The model has only learnt what is most frequent.",
            "See saccade check DATA; the learning rate or the weight decay may be too high.",
        ),
        "not-better-than-prior": _training(
            "the best epoch: it is no better than the best baseline without an image",
            "The image adds nothing yet, or cannot.",
            "Train longer, or look at the features.",
        ),
        "too-easy": _training(
            "accuracy: over 90 where a baseline without an image has over 85",
            "Most answers are the same.",
            "Look at the answers: saccade check DATA.",
        ),
        "waiting-for-data": _training(
            "an epoch of 20 seconds or more: over half is spent waiting for data",
            "The disk is slow, or the features are large.",
            "Put the features on a faster disk: or set train.workers=2.",
        ),
        "stopped": FindingInfo(
            "training",
            "error",
            "training: it ended before its time",
            "The run could not recover.",
            "Do what the message says, and train again.",
        ),
    },
)
"""Every finding by its name, which `--allow` takes."""


def finding(
    name: str,
    message: str,
    *,
    hint: str | None = None,
    count: int = 0,
    numbers: Mapping[str, float] | None = None,
    examples: Sequence[str] = (),
) -> Finding:
    """A finding of the table, with what was measured in this data set."""
    info = FINDINGS[name]
    some = tuple(text if len(text) <= 100 else f"{text[:97]}..." for text in examples[:EXAMPLES])
    rounded = {key: round(float(value), 4) for key, value in (numbers or {}).items()}
    message = in_number(message)
    return Finding(info.level, message, count, some, info.cause, hint or info.hint, name, rounded)


def describe(found: Finding) -> Iterator[str]:
    """A finding as lines for a person: what, some examples, why, and what to do."""
    yield f"{found.level} [{found.name}]: {found.message}."
    if found.examples:
        yield f"  such as: {'; '.join(found.examples)}"
    yield f"  {found.cause} {found.hint}"


def evenly(count: int, most: int) -> list[int]:
    """Places of at most `most` of `count` things, evenly spaced."""
    return [*range(0, count, max(-(-count // most), 1))]
