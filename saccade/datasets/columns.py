"""Columns of somebody's own data: known by their names, whoever wrote them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path
from types import MappingProxyType

from saccade.core.errors import BadConfig, BadData

Names = Mapping[str, tuple[str, ...]]

COLUMNS: Names = MappingProxyType(
    {
        "image": (
            *("image", "image_path", "image_file", "file_name", "filename", "file", "path"),
            *("图片", "图像", "图片路径", "图像路径", "图片文件名", "图像文件名", "图片文件"),
            *("图像文件", "图片名", "图片名称", "图像名称", "照片", "文件名", "文件路径", "路径"),
            *("圖片", "圖像", "影像", "圖片路徑", "圖像路徑", "檔名", "檔案名稱"),
        ),
        "question": ("question", "问题", "提问", "問題", "提問"),
        "answer": (
            *("answers", "answer", "gt_answer", "gt_answers", "ground_truth", "答案", "回答"),
            *("标准答案", "参考答案", "正确答案", "標準答案", "參考答案", "正確答案"),
        ),
        "best_answer": ("best_answer", "multiple_choice_answer"),
        "caption": (
            *("captions", "caption", "描述", "图片描述", "图像描述", "字幕", "标题", "图片标题"),
            *("说明", "图片说明", "圖片描述", "圖像描述", "標題", "說明"),
        ),
        "split": ("split", "划分", "数据划分", "数据集划分", "拆分", "分割", "子集", "劃分"),
        "choices": ("choices", "options", "选项", "選項"),
        "answer_type": ("answer_type", "答案类型", "答案類型"),
        "question_type": ("question_type", "问题类型", "問題類型"),
    }
)
"""The parts of a row, and the column names that are taken for it, the first one that is there."""
SEVERAL = ("answer", "caption")
"""Parts that may stand in several columns, also in numbered ones: `caption_0` ... `caption_4`."""
Chosen = dict[str, tuple[str, ...]]
"""The columns of each part of a row."""


def columns_of(names: Sequence[str], given: str, location: Path, usual: Names = COLUMNS) -> Chosen:
    """The columns for each of `usual` that is there.

    `given` is what the user says about columns of other names: "image:photo,question:frage"; a part
    of `SEVERAL` may be said several times, and nothing behind the colon says that there is no such
    column. A column of the very name comes before one that is written otherwise ("Answer", "
    answer"). Where there are `answers` and `answer`, the second is the best of the first. Raises
    BadConfig where `given` is no such list or names a column that is not there, and where several
    columns could be the same part; BadData where there is no column of images, or neither
    questions nor captions.
    """
    said: dict[str, list[str]] = {}
    for part in filter(None, given.split(",")):
        word, colon, name = (piece.strip() for piece in part.partition(":"))
        what = next((what for what, known in usual.items() if word in (what, *known)), "")
        if not colon or not what:
            message = f"--option columns={given} is not a list like image:photo,question:frage"
            raise BadConfig(message, hint=f"Before a colon stands one of: {', '.join(usual)}.")
        said.setdefault(what, []).extend([name] if name else [])
    chosen: Chosen = {}
    has = f"it has {listed(names, 12) or 'none'}"
    for what, known in usual.items():
        if what in said:
            groups = [_written(names, name) for name in said[what]]
            if not all(groups):
                message = f"has no column {said[what][groups.index([])]!r}; {has}"
                raise BadConfig(message, location=location, hint="Mend --option columns=...")
        else:
            groups = _usual_groups(what, known, names)
        found = tuple(dict.fromkeys(name for group in groups for name in group))
        alone = all(len(group) == 1 for group in groups)
        if not alone or (len(found) > 1 and not _go_together(what, found, usual, what in said)):
            message = f"has several columns that could be the {what}: {', '.join(map(repr, found))}"
            hint = f"Say which: --option columns={what}:{found[0]}, or give each its own name."
            raise BadConfig(message, location=location, hint=hint)
        if found:
            chosen[what] = found
    if len(chosen.get("answer", ())) > 1 and "answer" not in said:
        every, *best = chosen["answer"]
        if plain(every) == "answers":
            chosen |= {"answer": (every,), "best_answer": tuple(best)}
    if (
        "answer" in chosen
        and "choices" in usual
        and not {"choices"} & (said.keys() | chosen.keys())
    ):
        chosen |= {"choices": several} if (several := _choices_among(names)) else {}
    if "image" not in chosen or not {"question", "caption"} & chosen.keys():
        lacks = "images (image)" if "image" not in chosen else "questions or captions"
        known_names = "Name the columns image, question, answer, caption"
        hint = f"{known_names}, or say which they are: --option columns=image:photo,question:frage."
        raise BadData(f"has no column of {lacks}; {has}", location=location, hint=hint)
    return chosen


def listed(names: Iterable[str], most: int) -> str:
    """The first names of columns, for a message."""
    return ", ".join(name[:40] or "(no name)" for name in islice(names, most))


def _written(names: Sequence[str], one: str) -> list[str]:
    """The columns of this very name, else those of one that is written otherwise."""
    exact = [name for name in names if name == one]
    return exact or [name for name in names if plain(name) == plain(one)]


def _usual_groups(part: str, known: Sequence[str], names: Sequence[str]) -> list[list[str]]:
    """Columns by each of the usual names of a part, and by each numbered one."""
    exact = [[one] * names.count(one) for one in known if one in names]
    groups = [group for one in known if (group := _written(names, one))]
    both = [_written(names, one) for one in known[:2]]  # captions, and caption beside it
    if part not in SEVERAL or not all(both):
        groups = (exact or groups)[:1]
    if part not in SEVERAL:
        return groups
    numbered = (name for name in names if _without_number(name) in known)
    return groups + [_written(names, name) for name in numbered]


def _choices_among(names: Sequence[str]) -> tuple[str, ...]:
    """A column for each choice: A, B, C; `option_a`, `选项A`; `choice1`. Empty if none are."""
    for stem in ("", "option", "choice", "options", "choices", "选项", "選項"):
        for marks in ("abcdefghij", "0123456789", "123456789"):
            wanted = [f"{stem}{mark}" for mark in marks] if stem else list(marks.upper())
            by_name = {plain(n).replace("_", "") if stem else n: n for n in reversed(names)}
            found = tuple(by_name[one] for one in takewhile(by_name.__contains__, wanted))
            if len(found) > 1 and (stem or found[0] == "A"):
                return found
    return ()


def numbered_alike(names: Sequence[str], part: str) -> list[str]:
    """Numbered columns of a part that is one text: `question1`, `question2`; else nothing."""
    found = [name for name in names if _without_number(name) in COLUMNS[part]]
    return found if len(found) > 1 else []


def key_of(texts: Sequence[str], images: Sequence[str]) -> tuple[str, str] | None:
    """The column of a table of questions or captions, and that of a table of images, by which
    rows belong together; None where that is not certain, or a table is of another kind.
    """
    has, has_too = known_among(texts).keys(), known_among(images).keys()
    if "image" in has or "image" not in has_too or {"question", "caption"} & has_too:
        return None
    both = [(one, one) for one in texts if one in images and plain(one) not in COLUMNS["split"]]
    own = [(one, one) for one, _ in both if plain(one) != "id"]
    of_image = [one for one in texts if plain(one) in ("image_id", "img_id", "imageid")]
    ids = [(of_image[0], one) for one in images if of_image and plain(one) == "id"]
    found = own or ids or both
    return found[0] if len(found) == 1 and {"question", "caption"} & has else None


def _without_number(name: str) -> str | None:
    """The name in front of a column's number; None where it has none."""
    match = re.fullmatch(r"(.*?)[_.]?\d+", plain(name))
    return match[1] if match else None


def _go_together(part: str, found: Sequence[str], usual: Names, named: bool) -> bool:
    """Are these several columns one part? An answer beside numbered ones may be one of choices."""
    if part not in SEVERAL or named:
        return part in (*SEVERAL, "choices")
    numbered = [_without_number(name) in usual[part] for name in found]
    return part == "caption" or all(numbered) or not any(numbered)


def fits(names: Sequence[str], usual: Names = COLUMNS, given: str = "") -> bool:
    """True where columns of these names can be read, with what the user says of them in `given`
    (as in `columns_of`), or without any word.
    """
    if given:
        try:
            return bool(columns_of(names, given, Path(), usual))
        except (BadConfig, BadData):
            return False
    has = known_among(names, usual).keys()
    return "image" in has and bool({"question", "caption"} & has)


def plain(name: str) -> str:
    """A column's name without what people write differently: `Image Path`, `image-path`."""
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def known_among(names: Sequence[str], usual: Names = COLUMNS) -> dict[str, str]:
    """The parts of a row that are among these columns, and the first column for each."""
    written = {plain(name): name for name in reversed(names)}
    numbered = {one: n for n in reversed(names) if (one := _without_number(n)) and one in SEVERAL}
    written = {**numbered, **written}
    return {
        what: next(written[name] for name in known if name in written)
        for what, known in usual.items()
        if written.keys() & set(known)
    }


def there_is(path: Path, root: Path, names: Sequence[str]) -> str:
    """By what a recogniser knows a file with known columns."""
    shown = path.relative_to(root).as_posix()
    return f"there is {shown} with the columns {listed(names, 6)}"
