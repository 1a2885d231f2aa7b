"""Mistakes of a first evening: what is said to each, and the CPU seconds until it is said.

python -m proofs mistakes             each in a process of its own; prints what is said
python -m proofs.mistakes FOLDER      those that need no torch, in FOLDER, as JSON, for the tests:
                                      each in a fork of a process that has imported nothing heavy
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from proofs.yardstick import cpu_seconds, slowness

AT_MOST = 0.5
"""CPU seconds on the machine of `proofs.yardstick`."""
# An installed package has its bytecode; one that is compiled anew each time is no user's.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
CODE = "from saccade.cli.main import main; main()"


class Mistake(NamedTuple):
    """A command that cannot work."""

    command: str
    """After `saccade`; words between bars keep their blanks."""
    error: str
    """The class of the error, or Usage where the command line itself is wrong."""
    named: str
    """The file, field or word that the refusal must name."""
    way: str
    """A part of what it says to do next."""
    heavy: bool = False
    """Torch is needed to know."""

    @property
    def words(self) -> list[str]:
        """The command as the shell hands it over."""
        parts = self.command.split("|")
        return [w for n, part in enumerate(parts) for w in ([part] if n % 2 else part.split())]


CAPTION, VQA = "train show-attend-tell --data data", "train show-ask-attend-answer-small"
MISTAKES = (
    Mistake("tarin show-attend-tell", "Usage", "tarin", "train"),
    Mistake("train", "Usage", "RECIPE", "saccade train -h"),
    Mistake("train show-atend-tell --data data --out run", "BadConfig", "atend", "show-attend"),
    Mistake("train show-attend-tell --data nowhere --out run", "BadData", "nowhere", "prepare"),
    Mistake("train show-attend-tell --data photos --out run", "BadData", "photos", "prepare"),
    Mistake("train show-attend-tell --data vqa --out run", "BadData", "vqa", "prepare"),
    Mistake(f"{CAPTION}", "Usage", "--out", "saccade train -h"),
    Mistake(f"{CAPTION} --out run --set train.epoch=3", "BadConfig", "train.epoch", "train.epochs"),
    Mistake(f"{CAPTION} --out run --set train.epochs=x", "BadConfig", "train.epochs", "show"),
    Mistake(f"{CAPTION} --out run --set train.epochs=0", "BadConfig", "train.epochs", "show"),
    Mistake(f"{CAPTION} --out run --set train.epochs", "BadConfig", "train.epochs", "FIELD=VALUE"),
    Mistake(f"{CAPTION} --out run --set model.kind=san", "BadConfig", "model", "show"),
    Mistake(f"{CAPTION} --out run --features more", "BadStore", "more", "--features: cells"),
    Mistake(f"{CAPTION} --out run --device gpu", "BadConfig", "--device", "cuda"),
    Mistake(f"{CAPTION} --out run --from nowhere", "BadRun", "nowhere", "train"),
    Mistake(f"{CAPTION} --out vqa", "BadRun", "vqa", "--resume"),
    Mistake(f"{CAPTION} --out nowhere --resume", "BadRun", "nowhere", "begin a new"),
    Mistake("train my.toml --data data --out run", "BadConfig", "my.toml", ".toml"),
    Mistake("train show-attend-tell --data bare --out run", "BadStore", "bare", "timm:resnet101"),
    Mistake(f"{VQA} --data bare --out run", "BadStore", "bare", "timm:resnet18"),
    Mistake(f"{VQA} --data two --out run", "BadStore", "two", "--features: cells, others"),
    Mistake(f"{VQA} --data captions --out run", "BadData", "captions", "show-attend-tell"),
    Mistake(f"{VQA} --data data --out vqa --resume", "BadRun", "state.safetensors", "begin a new"),
    Mistake(f"{VQA} --data data --out r --set text.vectors=x", "MissingWeights", "x", "put"),
    Mistake("extract data", "BadConfig", "--backbone", "--for RECIPE"),
    Mistake("extract nowhere --for mcan", "BadData", "nowhere", "prepare"),
    Mistake("extract data --for show-atend-tell", "BadConfig", "show-atend", "show-attend-tell"),
    Mistake("extract data --for mcan --backbone timm:x", "BadConfig", "--for", "one of"),
    Mistake("extract data --backbone resnet50", "BadConfig", "resnet50", "timm:resnet50"),
    Mistake("extract data --backbone timm:resnet50 --size 4", "BadConfig", "size", "--help"),
    Mistake("extract data --backbone timm:resnet50 --mean 1", "BadConfig", "'1'", "0.5,0.5,0.5"),
    Mistake("extract data --backbone timm:resnet50 --device gpu", "BadConfig", "gpu", "cuda"),
    Mistake("extract bare --for mcan", "BadData", "0.png", "--image-root"),
    Mistake("extract data --backbone timm:resnet5o", "BadConfig", "resnet5o", "resnet50", True),
    Mistake("ask vqa nope.jpg |What is it?|", "BadImage", "nope.jpg", "Give the path"),
    Mistake("ask vqa notes.txt |What is it?|", "BadImage", "notes.txt", "JPEG or PNG"),
    Mistake("ask vqa https://a.b/c.jpg |What is it?|", "BadImage", "//a.b/c.jpg", "Download"),
    Mistake("caption caption https://a.b/c.jpg", "BadImage", "//a.b/c.jpg", "Download"),
    Mistake("predict caption https://a.b/c.jpg --out a.csv", "BadImage", "//a.b/c.jpg", "Download"),
    Mistake("ask data image.png |What is it?|", "BadRun", "data/run.json", "saccade train"),
    Mistake("ask vqa image.png ||", "BadConfig", "QUESTION", "quotes"),
    Mistake("ask vqa image.png |What?| --device gpu", "BadConfig", "gpu", "cuda"),
    Mistake("ask caption image.png |What is it?|", "BadConfig", "caption", "saccade caption"),
    Mistake("caption vqa image.png", "BadConfig", "vqa", "saccade ask"),
    Mistake("caption caption nope.png", "BadImage", "nope.png", "Give the path"),
    Mistake("explain vqa image.png", "BadConfig", "vqa", "Give it a question"),
    Mistake("explain caption image.png |What is it?|", "BadConfig", "caption", "Leave"),
    Mistake("evaluate nowhere", "BadRun", "nowhere/run.json", "saccade train"),
    Mistake("evaluate old", "BadRun", "old/run.json", "Train again"),
    Mistake("evaluate vqa --split tset", "Usage", "tset", "test"),
    Mistake("evaluate vqa --features more", "BadStore", "more", "--features: cells"),
    Mistake("evaluate vqa --data bare", "BadStore", "bare", "saccade extract bare"),
    Mistake("compare nowhere vqa", "BadRun", "nowhere/run.json", "saccade train"),
    Mistake("compare vqa", "BadRun", "vqa", "saccade evaluate", True),
    Mistake("prepare photos --out d", "BadData", "table.csv", "--option columns"),
    Mistake("prepare photos", "Usage", "--out", "saccade prepare -h"),
    Mistake("prepare empty --out d", "BadData", "empty", "saccade list sources"),
    Mistake("prepare nowhere --out d", "BadConfig", "nowhere", "saccade list sources"),
    Mistake("prepare photos/table.csv --out d", "BadData", "table.csv", "saccade prepare"),
    Mistake("prepare vqa2 --root photos --out d", "BadConfig", "vqa2", "vqa-v2"),
    Mistake("list recipe", "Usage", "recipe", "recipes"),
    Mistake("show nonesuch", "BadConfig", "nonesuch", "There are: adaptive"),
    Mistake("download coco-2041 --to d", "BadConfig", "coco-2041", "Did you mean"),
    Mistake("demo --device gpu", "BadConfig", "gpu", "cuda"),
    Mistake("demo --vqa sann-small", "BadConfig", "sann-small", "san-small"),
    Mistake("import-checkpoint sgrvinod no.pth --out r", "BadCheckpoint", "no.pth", "Give"),
    Mistake("import-features bottomup x.tsv --data data", "BadConfig", "bottomup", "bottom", True),
    Mistake("import-features bottom-up x --data data", "BadData", "x: no such", "give its", True),
    Mistake("store info nowhere", "BadStore", "nowhere", "saccade extract"),
    Mistake("pack nowhere --out d", "BadBundle", "nowhere", "folder"),
)  # fmt: skip


def make_place(root: Path) -> None:
    """Fill a folder with all that the commands name."""
    from PIL import Image

    from saccade.data.folder import write_folder
    from saccade.data.records import Caption, Collection, ImageRecord
    from saccade.experiment import assemble
    from saccade.recipes.catalogue import RECIPES
    from saccade.run_folder import Origin, write_run
    from tests.worlds import make_world, write_store

    here = os.getcwd()
    root.mkdir(parents=True, exist_ok=True)
    os.chdir(root)  # the run folders note where their data are
    data, two = make_world(Path("data"), train=8, val=4), make_world(Path("two"), train=4, val=2)
    write_store(two, "others", seed=1)
    make_world(Path("bare"), train=4, val=2).store_path("cells").rename("features-elsewhere")
    image = ImageRecord(1, "1.png", "train")
    caption = Caption(1, 1, "a dog", ("a", "dog"), "train")
    write_folder(Path("captions"), Collection("table", ".", [image], [], [caption]))
    for name, recipe in (("vqa", "show-ask-attend-answer"), ("caption", "show-attend-tell")):
        made = assemble(RECIPES[f"{recipe}-small"], data)
        spec = made.store.header.backbone.replace(name="timm:resnet18")
        header = made.store.header.replace(backbone=spec)
        origin = Origin(
            header, "cells", str(data.path.resolve()), data.fingerprint,
            revision=made.revision if name == "vqa" else None,
        )  # fmt: skip
        about = made.recipe, made.sizes, made.words
        write_run(Path(name), f"{recipe}-small", about, origin, None)
    for name in ("photos", "empty", "old"):
        Path(name).mkdir()
    Path("old/run.json").write_text(json.dumps({"format": 1}))
    Path("notes.txt").write_text("Buy milk.\n")
    for path in ("data/0.png", "image.png", "photos/a.png", "photos/b.png"):
        Image.new("RGB", (8, 8)).save(path)
    Path("photos/table.csv").write_text("photo,words\na.png,A dog.\nb.png,A cat.\n")
    os.chdir(here)


def try_it(mistake: Mistake) -> dict[str, Any]:
    """Give one command in a fork of this process; status, class of the error, what it says."""
    with tempfile.TemporaryFile("w+") as out:
        if not (child := os.fork()):
            _fail(mistake, out.fileno())
        _, status = os.waitpid(child, 0)
        out.seek(0)
        told = out.read()
    said, _, last = told.rpartition("\n\0")
    error, _, heavy = last.partition(" ")
    return {
        "status": os.waitstatus_to_exitcode(status),
        "error": error,
        "heavy": heavy.split(),
        "said": said,
    }


def _fail(mistake: Mistake, out: int) -> None:
    """Give a command, and end this process; the class and what was imported are its last line."""
    from saccade.cli.main import main
    from saccade.core import errors

    for stream in (1, 2):
        os.dup2(out, stream)
    sys.stdout, sys.stderr = open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115  as at a start
    raised = ["Usage"]
    begin = errors.SaccadeError.__init__

    def noted(self: errors.SaccadeError, *given: Any, **named: Any) -> None:
        raised.append(type(self).__name__)
        begin(self, *given, **named)

    errors.SaccadeError.__init__ = noted  # type: ignore[method-assign]
    sys.argv, status = ["saccade", *mistake.words], 0
    try:
        main()
    except SystemExit as left:
        status = int(left.code or 0)
    except BaseException as error:
        raised.append(f"Traceback:{type(error).__name__}")
        status = 70
    heavy = {"torch", "timm", "lightning_fabric"} & sys.modules.keys()
    print("\n\0" + raised[-1], *sorted(heavy), end="", flush=True)
    os._exit(status)


def prove() -> list[str]:
    """What is wrong, a sentence each; what is said is printed."""
    wrong, spent = [], dict[str, float]()
    source, factor = str(Path.cwd()), slowness()
    with tempfile.TemporaryDirectory() as folder:
        make_place(Path(folder))
        for mistake in MISTAKES:
            command = [sys.executable, "-c", CODE, *mistake.words]
            environment = {**os.environ, "PYTHONPATH": source}
            seconds, done = cpu_seconds(command, 2, cwd=folder, env=environment)
            spent[mistake.command], said = seconds, " ".join(done.stderr.split())
            print(f"  {seconds:.2f} CPU s  saccade {mistake.command}\n      {said}")
            if done.returncode not in (1, 2) or "Traceback" in said:
                wrong.append(f"saccade {mistake.command}: status {done.returncode}, {said[-200:]}")
            if mistake.named not in said or mistake.way not in said:
                wrong.append(f"saccade {mistake.command} does not say {mistake.way!r}")
    most = AT_MOST * min(factor, slowness())
    for bar in (AT_MOST, most):
        under = sum(seconds < bar for seconds in spent.values())
        print(f"  {under} of {len(MISTAKES)} under {bar:.2f} CPU s")
    slow = [command for command, seconds in spent.items() if seconds >= most]
    if len(slow) * 8 > len(MISTAKES):  # 35 of 40
        wrong.append(f"{len(slow)} take {most:.2f} CPU s or more: {', '.join(slow)}")
    return wrong


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    import saccade.cli.main
    import saccade.experiment  # noqa: F401  what nearly all of them import: once

    assert "torch" not in sys.modules
    print(json.dumps([try_it(mistake) for mistake in MISTAKES if not mistake.heavy]))
