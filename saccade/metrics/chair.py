"""CHAIR: the share of the objects that captions mention which their images do not have.

An image has the objects that are annotated and those that people's captions of it mention; what
else a caption mentions is hallucinated. CHAIR_i is over mentions, CHAIR_s over captions.
Source: Rohrbach et al. 2018, section 3.1; LisaAnne/Hallucination `utils/chair.py`. The words for
objects are those of `metrics.coco_objects`, not the published list, so the numbers are near the
published program's and not equal to them.
"""

from collections.abc import Collection, Mapping, Sequence

from saccade.metrics.bleu import Sentence
from saccade.metrics.catalogue import NotMeasured, Result
from saccade.metrics.coco_objects import NAMES, objects_mentioned


def chair(
    predictions: Sequence[Sentence],
    references: Sequence[Sequence[Sentence]],
    *,
    objects: Mapping[int, Collection[str]],
    image_ids: Sequence[int],
) -> dict[str, Result] | NotMeasured:
    """CHAIR_s and CHAIR_i by their names in `METRICS`, 0..1, low is good.

    `objects` are the annotated categories of each image by its id; `image_ids` are those of the
    captions. Captions are lower-case words, of the official tokenizer. A mention counts as often as
    it stands there. Where no caption mentions an object, none is hallucinated.
    """
    if not set(image_ids) <= objects.keys() or not any(objects.values()):
        message = "CHAIR: the objects of the images are not known (COCO's instances_*.json)"
        return NotMeasured(message, not_of_this_data=True)
    if strange := sorted(set().union(*objects.values()) - NAMES.keys()):
        return NotMeasured(f"CHAIR: there are no words for objects such as {strange[0]!r}")
    sums = []
    for caption, human, image in zip(predictions, references, image_ids, strict=True):
        there = {*objects[image], *(one for said in human for one in objects_mentioned(said))}
        mentioned = objects_mentioned(caption)
        sums.append((sum(one not in there for one in mentioned), len(mentioned)))
    false, all_ = (sum(counts) for counts in zip(*sums, strict=True))
    wrong = [float(hallucinated > 0) for hallucinated, _ in sums]
    # Without a mention there is no interval: every resample would be of nothing.
    by_mention = Result(false / all_, sums=sums) if all_ else Result(0.0)
    return {"chair_s": Result(sum(wrong) / len(wrong), wrong), "chair_i": by_mention}
