"""A validation split for data that came without one: some of the training pictures."""

from dataclasses import replace
from typing import TypeVar

from saccade.core.errors import BadConfig
from saccade.data.drawn_split import draw
from saccade.records import Caption, Collection, Picture, Question

SEED = 0
Record = TypeVar("Record", Picture, Question, Caption)


def hold_out(collection: Collection, share: float) -> Collection:
    """Make `share` of a task's training pictures its validation split, where it has none.

    Everything that belongs to these pictures goes with them, of the other task too, so that no
    picture is in two splits. The pictures are drawn from a seed: equal ones, equal split. Raises
    BadConfig for a share that is none, and where every task has a validation split already or no
    two pictures that are for training alone.
    """
    if not 0 < share < 1:
        raise BadConfig(f"--hold-out {share:g} is no share", cure="Give one such as 0.1.")
    held: set[int] = set()
    elsewhere = {picture.id for picture in collection.pictures if picture.split != "train"}
    notes = list(collection.notes)
    for kind, records in (("question", collection.questions), ("caption", collection.captions)):
        training = {record.image_id for record in records if record.split == "train"}
        training -= held | elsewhere
        if len(training) < 2 or any(r.split == "val" or r.image_id in held for r in records):
            continue
        drawn = draw(training, {"val": share}, SEED)
        taken = {number for number, split in drawn.items() if split == "val"}
        held |= taken
        notes.append(
            f"No {kind} was of split val: {len(taken)} of {len(drawn)} training pictures with "
            f"{kind}s, drawn with seed {SEED}, are the validation split, with all that belongs to "
            "them. Nobody else has this split: scores do not compare with published ones."
        )
    if not held:
        raise BadConfig(
            "nothing is to be held out: there is a validation split, or there are no two pictures "
            "for training alone",
            cure="Leave out --hold-out.",
        )
    return replace(
        collection,
        pictures=[_moved(one, one.id, held) for one in collection.pictures],
        questions=[_moved(one, one.image_id, held) for one in collection.questions],
        captions=[_moved(one, one.image_id, held) for one in collection.captions],
        notes=notes,
    )


def _moved(record: Record, picture: int, held: set[int]) -> Record:
    return record._replace(split="val") if picture in held else record
