"""What people said of a split, without which nothing can be judged on it."""

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.records import SPLITS, Caption, Question, Split


def answered_questions(folder: DataFolder, split: Split) -> list[Question]:
    """The questions of a split. Raises BadData where there are none, or nobody answered them."""
    questions = folder.questions(split)
    if not questions or not questions[0].answers:
        raise _without_truth(folder, split, "answers")
    return questions


def captioned_pictures(folder: DataFolder, split: Split) -> dict[int, list[Caption]]:
    """The captions of a split, by picture. Raises BadData where there are none."""
    captions = folder.captions_by_picture(split)
    if not captions:
        raise _without_truth(folder, split, "captions")
    return captions


def _without_truth(folder: DataFolder, split: Split, kind: str) -> BadData:
    splits = folder.about["splits"]
    counted = "questions" if kind == "answers" else kind
    others = [one for one in SPLITS if one != split and splits[one][counted]]
    cure = f"Choose another split with --split: {', '.join(others) or 'there is none'}."
    if split == "val":
        cure = (
            "Each epoch of training is judged on it: saccade prepare ... --hold-out 0.1 takes some "
            f"training pictures for it. To evaluate alone: {cure[0].lower()}{cure[1:]}"
        )
    return BadData(f"the {split} split has no {kind} to judge by", where=folder.path, cure=cure)
