"""A folder that Hugging Face `datasets` saved (`save_to_disk`), read without that package.

One data set is `state.json`, `dataset_info.json` and `data-00000-of-00001.arrow` (Arrow streams);
several splits are `dataset_dict.json` and a folder of that kind for each. Pictures are paths, or
lie inside the table as `{bytes, path}`.
"""

from pathlib import Path
from typing import Any

from saccade.core.errors import BadData
from saccade.data.arrow_rows import class_names, read_rows
from saccade.data.find_files import PictureFiles, folder_like
from saccade.data.own_rows import SPLIT_WORDS, Own
from saccade.data.pictures_inside import PicturesInside
from saccade.data.reading import is_text, read_json
from saccade.data.records import Collection, Split
from saccade.data.splits import as_drawing


def read(
    root: Path,
    images: str = "",
    columns: str = "",
    val_share: str | float = 0.1,
    test_share: str | float = 0.1,
    seed: str | int = 0,
) -> Collection:
    """Read the saved folder `root`, or the first one directly below it.

    Columns are found by name as in a table; `columns` says what others are. Pictures inside the
    table are written to `images` (else to `unpacked-pictures/` below the folder); pictures that
    are paths are looked for below `images` (else below the folder). Where there is one split only,
    `val_share` and `test_share` of the pictures are drawn with `seed`; where only validation is
    missing, `val_share` of the training pictures. Raises BadData for a file that is not whole, and
    for rows that lack what they need.
    """
    drawing = as_drawing(val_share, test_share, seed)
    home = folder_like(root, _holds)
    if home is None:
        cure = "Check --root: save_to_disk writes dataset_dict.json, or state.json."
        raise BadData("holds no folder that datasets saved", where=root, cure=cure)
    files = PictureFiles(root if images else home, images or None)
    inside = PicturesInside.of(files.root, chosen=bool(images))
    parts = _parts(home)
    own = Own(files.find_path, drawing)
    for folder, split in parts:
        about = folder / "dataset_info.json"
        classes = class_names(read_json(about, dict).get("features")) if about.is_file() else {}
        for path in _arrow_files(folder):
            own.take(path, read_rows(path, columns, inside, classes), split)
    notes = [f"Splits of the folder: {', '.join(folder.name for folder, _ in parts)}."]
    return own.collection("hf-datasets", str(files.root), [*notes, *inside.notes()])


def recognise(root: Path) -> str | None:
    """`dataset_dict.json`, or `state.json` beside `dataset_info.json`."""
    home = folder_like(root, _holds)
    if home is None:
        return None
    seal = "dataset_dict.json" if (home / "dataset_dict.json").is_file() else "state.json"
    return f"there is {(home / seal).relative_to(root).as_posix()}, which datasets writes"


def _holds(folder: Path) -> bool:
    single = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return single or (folder / "dataset_dict.json").is_file()


def _parts(home: Path) -> list[tuple[Path, Split | None]]:
    """The folder of each split, and which of ours it is; one alone has no split of its own."""
    seal = home / "dataset_dict.json"
    if not seal.is_file():
        return [(home, None)]
    names = read_json(seal, dict).get("splits")
    if not isinstance(names, list) or not _are_names(names):
        what = 'has no list "splits"'
        raise BadData(what, where=seal, cure="Save the data set again: save_to_disk.")
    if len(names) == 1:
        return [(home / names[0], None)]
    parts: list[tuple[Path, Split | None]] = []
    for name in names:
        split = SPLIT_WORDS.get(name.lower())
        if split is None:
            what = f"has the split {name[:30]!a}, which is neither train, validation nor test"
            cure = "Rename or leave out that split, and save again."
            raise BadData(what, where=seal, cure=cure)
        parts.append((home / name, split))
    return parts


def _arrow_files(folder: Path) -> list[Path]:
    """The files that `state.json` lists."""
    state = folder / "state.json"
    about = read_json(state, dict)
    listed = about.get("_data_files")
    listed = listed if isinstance(listed, list) else []
    names: list[Any] = [entry.get("filename") for entry in listed if isinstance(entry, dict)]
    if not _are_names(names):
        cure = "Save the data set again: save_to_disk."
        raise BadData('has no list "_data_files" of file names', where=state, cure=cure)
    if about.get("_indices_data_files"):
        what = "keeps a choice of rows (_indices_data_files), which is not read here"
        cure = "Save the data set again after flatten_indices()."
        raise BadData(what, where=state, cure=cure)
    return [folder / name for name in names]


def _are_names(names: list[Any]) -> bool:
    """Say whether these are names of files or folders, at least one, and none leads elsewhere."""
    return bool(names) and is_text(names) and not any({"/", "\0"} & set(name) for name in names)
