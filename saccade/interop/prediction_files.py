"""Files of predictions that any program wrote: texts, and what says which example each is for.

A line of `FORMS` is one form: its name, how its content is recognised, and how that becomes rows.
Which columns hold the text and the ids is told by their names (`TEXTS`, `KEYS`), and which ids they
are by the data (`interop.prediction_ids`). Nothing is unpickled: what `torch.save` wrote is read by
`interop.torch_files`.
"""

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadData
from saccade.core.files import Limits
from saccade.core.tables import optional_package
from saccade.data.reading import is_text, note_opened, read_entries, read_start
from saccade.datasets.custom_rows import Row
from saccade.datasets.row_files import damaged, json_lines, read_rows

TEXTS = (
    *("prediction", "pred", "predictedanswer", "predanswer", "modelanswer", "response", "output"),
    *("answer", "caption", "text"),
)
"""Columns of predicted texts, the first one that is there: beside a `prediction`, an `answer` is
the ground truth. Names are compared without capitals, blanks and marks (`questionId`)."""
KEYS: Mapping[str, tuple[str, ...]] = {
    "question": ("questionid", "qid", "quesid"),
    "image": ("imageid", "imgid", "cocoid"),
    "file": ("image", "imagename", "imagepath", "filename", "filepath", "imagefile", "file", "img"),
    "id": ("id", "index"),
    "place": ("place", "docid", "index"),
}
"""Columns that say which example a text is for: by the id of a question, the id or the file of an
image, an id of either, or the place in the split, from 0."""
EVIDENCE: Mapping[str, tuple[str, ...]] = {
    "vqa": ("question", "questiontext", "input", "prompt"),
    "caption": ("answer", "answers", "target", "references", "gt"),
}
"""Columns that show by the way which example it is: its question, or its human captions."""
TOO_LARGE = "it would become far larger than spreadsheets do"
HINT = (
    "Give a list of {question_id, answer} or {image_id, caption}, a mapping from ids to texts, or "
    "a table (CSV, JSON lines, Parquet) with such columns."
)


class PredictionFile(NamedTuple):
    """The content of a file of predictions."""

    path: Path
    form: str
    rows: Sequence[Row]
    column: str
    """The column of the texts."""
    texts: Sequence[str]
    """One a row."""
    keys: Sequence[tuple[str, str]]
    """Each column that may say which example a row is for, behind the kind of its ids in `KEYS`."""
    names: Mapping[str, str]
    """All columns by their plain names."""


class Entries(list[tuple[str, Any]]):
    """A JSON object as its keys and values; a key that stands twice is there twice."""


class Form(NamedTuple):
    """One form of prediction files."""

    name: str
    recognises: Callable[[Any], bool]
    """Whether content is of this form: rows, `Entries`, or what `torch.save` wrote."""
    rows: Callable[[Path, Any], Iterable[Row]]


def read_predictions(path: Path) -> PredictionFile:
    """Read a file of predictions of any form in `FORMS`.

    Raises BadData for what is damaged or of no known form, and for a row without a text; BadConfig
    for a spreadsheet where openpyxl is not installed; BadCheckpoint for a damaged `.pth`.
    """
    if not path.is_file():
        raise BadData("there is no such file", location=path, hint="Check the name.")
    content = next(read for pattern, read in CONTENTS if re.search(pattern, path.name))(path)
    form = next((one for one in FORMS if one.recognises(content)), None)
    if form is None:
        raise BadData("holds no predictions in a known form", location=path, hint=HINT)
    rows = list(form.rows(path, content))
    for row in rows:
        row.refuse_fault()
    columns = dict.fromkeys(name for row in rows for name in row.values)
    names = {plain(name): name for name in reversed(columns)}
    column = next((names[name] for name in TEXTS if name in names), None)
    keys = [(kind, names[name]) for kind, some in KEYS.items() for name in some if name in names]
    if column is None or not keys:
        lacks = "ids (question_id, image_id)" if column else "texts (answer, caption, prediction)"
        message = f"has no column of {lacks}; it has {', '.join([*columns][:12])}"
        raise BadData(message, location=path, hint=HINT)
    twice = [one for one in columns if names[plain(one)] != one]
    if used := [one for one in twice if names[plain(one)] in (column, *(key for _, key in keys))]:
        message = f"has two columns of one name: {names[plain(used[0])]!r} and {used[0]!r}"
        raise BadData(message, location=path, hint="Rename the one that is not meant.")
    texts = [_text(row, column) for row in rows]
    return PredictionFile(path, form.name, rows, column, texts, keys, names)


def plain(name: str) -> str:
    """A column's name without what programs write differently: `questionId`, `question_id`."""
    return re.sub(r"[\W_]", "", name).casefold()


def _text(row: Row, column: str) -> str:
    """The prediction of a row; numbers are written as text, a list of one is that one."""
    value = row.values.get(column)
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not is_text([value]):
        shown = "nothing" if value is None else ascii(value)[:40]
        hint = 'Write a text, "" where there is no prediction, or leave the row out.'
        raise row.bad(f"has {shown} as its {column}, which is no text", hint)
    return str(value)


# Contents: by the file's name, and for JSON by its beginning.


def _spreadsheet(path: Path) -> list[Row]:
    """The rows of a workbook's only sheet, by the names in its first row."""
    message = f"{path.name} is a spreadsheet, which openpyxl reads"
    openpyxl = optional_package("openpyxl", "xlsx", message)
    note_opened(path)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(one.file_size for one in archive.infolist())
        if size > Limits().bytes_of(path):
            raise ValueError(TOO_LARGE)
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheets = [list(_filled_rows(sheet)) for sheet in book.worksheets]
        book.close()
    except Exception as error:  # a reader that is given broken sheets may raise anything
        raise damaged(path, "spreadsheet", error) from None
    filled = [sheet for sheet in sheets if sheet]
    if len(filled) != 1:
        hint = "Keep the one with the predictions, or save it as CSV."
        raise BadData(f"has {len(filled)} sheets with rows", location=path, hint=hint)
    (_, names), *rows = filled[0]
    return [
        Row(path, f"row {n}", {str(k): v for k, v in zip(names, row, strict=False) if k})
        for n, row in rows
    ]


def _filled_rows(sheet: Any) -> Iterator[tuple[int, Sequence[Any]]]:
    """The rows of a sheet that hold anything, behind their numbers."""
    sheet.reset_dimensions()  # what a sheet claims of its size may be as large as sheets can be
    cells = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells += len(row)
        if cells > Limits().always:
            raise ValueError(TOO_LARGE)
        if any(value is not None for value in row):
            yield number, row


def _torch_file(path: Path) -> Any:
    """What `torch.save` wrote, without running anything of it."""
    from saccade.interop.torch_files import read_checkpoint  # noqa: PLC0415 - imports torch

    return read_checkpoint(path)


def _json(path: Path) -> list[Row] | Entries:
    """Rows of a list or of JSON lines, or the entries of an object."""
    if not read_start(path).lstrip().startswith("{") or json_lines(path):
        return read_rows(path, '{"question_id": ..., "answer": ...}')[1]
    if path.name.endswith(".gz"):  # a parsed object no longer has the keys that stand twice
        raise BadData("is a packed JSON object", location=path, hint="Unpack it first.")
    return Entries(read_entries(path, dict))


def _table(path: Path) -> list[Row]:
    return read_rows(path)[1]


CONTENTS: Sequence[tuple[str, Callable[[Path], Any]]] = (
    (r"\.(?i:pth|pt|pkl|pickle)$", _torch_file),
    (r"\.(?i:xlsx|xlsm)$", _spreadsheet),
    (r"(?i:\.jsonl?)", _json),
    ("", _table),
)
"""Of file names: a pattern, and what reads the content."""


# Forms.


def _is_pytorch_vqa(content: Any) -> bool:
    """A log of Cyanogenoid's pytorch-vqa: the last epoch's answers, and the places of questions."""
    parts = content.get("eval") if isinstance(content, dict) else None
    return isinstance(parts, dict) and {"answers", "idx"} <= parts.keys() and "vocab" in content


def _pytorch_vqa(path: Path, content: Any) -> Iterator[Row]:
    try:
        answers = {int(id_): text for text, id_ in content["vocab"]["answer"].items()}
        ids, places = (_whole_numbers(content["eval"][name]) for name in ("answers", "idx"))
        texts = [answers[id_] for id_ in ids]
        for n, (place, text) in enumerate(zip(places, texts, strict=True)):
            yield Row(path, f"item {n}", {"place": place, "prediction": text})
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        message = f"its answers, places and vocabulary do not belong together ({error!r})"
        raise BadData(message, location=path, hint="Copy the log again.") from None


def _whole_numbers(values: Any) -> list[int]:
    """The numbers of a tensor, or of a list of numbers or of tensors with one number each."""
    from saccade.interop.torch_files import Saved  # noqa: PLC0415 - imports torch

    read: dict[int | None, list[int]] = {}  # the many tensors of a list share one row of numbers

    def numbers(value: Saved) -> list[int]:
        start = value.storage.start
        if start not in read:
            whole = Saved(value.storage, 0, (value.storage.numbers,), (1,))
            read[start] = [int(number) for number in whole.read().tolist()]
        return read[start]

    if isinstance(values, Saved):
        return [int(number) for number in values.read().flatten().tolist()]
    return [numbers(one)[one.offset] if isinstance(one, Saved) else int(one) for one in values]


def _is_saved_captions(content: Any) -> bool:
    """ImageCaptioning.pytorch's `.saved_pred_*.pth`: a caption for each image, and further ones."""
    pair = isinstance(content, tuple | list) and len(content) == 2
    return pair and all(isinstance(some, list) for some in content) and _are_records(content[0])


def _saved_captions(path: Path, content: Any) -> Iterator[Row]:
    rows = ({str(name): value for name, value in one.items()} for one in content[0])
    return (Row(path, f"record {n}", one) for n, one in enumerate(rows, start=1))


def _are_records(values: Any) -> bool:
    some = values if isinstance(values, list) else []
    return bool(some) and all(isinstance(one, dict) for one in some)


def _values(content: Any) -> dict[str, Any]:
    return dict(content) if isinstance(content, Entries) else {}


def _is_scored_captions(content: Any) -> bool:
    records = _values(content).get("imgToEval")
    return isinstance(records, dict) and _are_records([*records.values()])


def _scored_captions(path: Path, content: Any) -> Iterator[Row]:
    for id_, record in _values(content)["imgToEval"].items():
        yield Row(path, f"image {id_}", {"image_id": id_, **record})


def _record_lists(content: Any) -> list[list[Any]]:
    return [value for value in _values(content).values() if _are_records(value)]


def _listed(path: Path, content: Any) -> Iterator[Row]:
    (records,) = _record_lists(content)
    return (Row(path, f"record {n}", one) for n, one in enumerate(records, start=1))


def _is_mapping(content: Any) -> bool:
    kinds = {type(value) for value in _values(content).values() if value is not None}
    return kinds in ({str}, {dict}, {list}, {int}, {str, int})


def _mapped(path: Path, content: Any) -> Iterator[Row]:
    for id_, value in content:
        values = value if isinstance(value, dict) else {"prediction": value}
        yield Row(path, f"entry {id_!r}", {"id": id_, **values})


def _is_rows(content: Any) -> bool:
    return isinstance(content, list) and bool(content) and isinstance(content[0], Row)


def _lmms_sample(row: Row) -> Row:
    """A sample of lmms-eval: the text before the task changed it, and the ids among the metrics."""
    values: dict[str, Any] = {}
    for part in row.values.values():  # `submission`, or a metric's own record
        values |= {} if not isinstance(part, dict) else {n: v for n, v in part.items() if _is_id(n)}
    named = {name: row.values.get(name) for name in ("doc_id", "input", "target")}
    return row._replace(values=values | named | {"prediction": row.values.get("filtered_resps")})


def _is_lmms_log(content: Any) -> bool:
    """The file of earlier versions of lmms-eval: all samples in the list `logs`."""
    lists = _record_lists(content)
    return len(lists) == 1 and "filtered_resps" in lists[0][0]


def _is_id(name: str) -> bool:
    return plain(name) in (*KEYS["question"], *KEYS["image"])


FORMS: Sequence[Form] = (
    Form("log of pytorch-vqa", _is_pytorch_vqa, _pytorch_vqa),
    Form("saved captions of ImageCaptioning.pytorch", _is_saved_captions, _saved_captions),
    Form(
        "scored captions of ImageCaptioning.pytorch",
        _is_scored_captions,
        _scored_captions,
    ),
    Form(
        "log of lmms-eval",
        _is_lmms_log,
        lambda path, content: map(_lmms_sample, _listed(path, content)),
    ),
    Form("object with a list", lambda content: len(_record_lists(content)) == 1, _listed),
    Form("mapping from ids", _is_mapping, _mapped),
    Form(
        "samples of lmms-eval",
        lambda content: _is_rows(content) and "filtered_resps" in content[0].values,
        lambda path, content: map(_lmms_sample, content),
    ),
    Form("rows", _is_rows, lambda path, content: content),
)
"""Every form, the more particular ones first."""
