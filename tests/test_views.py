"""Several stored views of an image: made, kept, and drawn with words that stay true."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from torchvision.transforms import functional as vision

from saccade.config import change
from saccade.core.errors import BadConfig, BadStore
from saccade.data.examples import CaptionExamples, ImageExamples, VqaExamples, batches
from saccade.data.folder import DataFolder, write_folder
from saccade.data.records import Caption, Collection, ImageRecord, Question
from saccade.experiment import assemble, question_examples
from saccade.features import store_writer
from saccade.features.convert import convert_store
from saccade.features.extract import extract
from saccade.features.settings import Augmentation, ExtractSettings
from saccade.features.store import FeatureStore, describe_store, verify_store
from saccade.features.store_writer import StoreWriter
from saccade.features.views import view_of
from saccade.recipes.catalogue import RECIPES
from saccade.text.answers import AnswerList
from saccade.text.vocabulary import caption_vocabulary, question_vocabulary
from saccade.training.objectives import cider_of, references
from saccade.training.train import train

ONLY_FLIP = {"crop": 1.0, "colour": 0.0}
GREY = (0.5, 0.5, 0.5)
LEFT_AND_RIGHT = [
    ("What is on the left?", ("cat",)),
    ("What is on the right?", ("dog",)),
    ("Where is the cat?", ("left", "on the left")),
    ("Is that the right answer?", ("yes",)),
    ("Where is the dog?", ("right", "middle")),
]


def view(image: torch.Tensor, number: int, **changes: object) -> torch.Tensor:
    return view_of(image, Augmentation(**changes), 7, number, GREY)


def noise(height: int, width: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=draw)


def test_every_second_view_is_mirrored() -> None:
    image = noise(5, 8)
    for number in range(1, 5):
        mirrored = view(image, number, **ONLY_FLIP)
        assert torch.equal(mirrored, image.flip(2) if number % 2 else image)
        assert torch.equal(view(image, number, flip=False, **ONLY_FLIP), image)


def test_views_are_the_same_for_equal_seed_image_and_number() -> None:
    image = noise(40, 60)
    first = view(image, 1, rotation=20)
    assert torch.equal(first, view(image, 1, rotation=20))
    for other in (view(image, 3, rotation=20), view(image, 1, rotation=20, seed=1)):
        assert first.shape != other.shape or not torch.equal(first, other)
    assert view_of(image, Augmentation(), -3, 1, GREY).dtype == torch.uint8


@given(st.integers(20, 90), st.integers(20, 90), st.integers(1, 99), st.floats(0.1, 1))
@settings(max_examples=60, deadline=None)
def test_a_crop_is_a_piece_of_the_image_of_the_share_that_was_asked_for(
    height: int, width: int, number: int, crop: float
) -> None:
    """Each pixel says where it is: the piece is whole, in place, and large enough."""
    place = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    image = torch.cat([place, place[:1]]).to(torch.uint8)
    found = view(image, number, crop=crop, colour=0, flip=False)
    high, wide = found.shape[1:]
    top, left = found[:2, 0, 0].tolist()
    assert torch.equal(found, image[:, top : top + high, left : left + wide])
    rounding = (1 + 0.5 / high) * (1 + 0.5 / wide)
    assert high * wide * rounding >= crop * height * width
    ratio = (wide / width) / (high / height)
    assert max(ratio, 1 / ratio) <= 4 / 3 * rounding


def test_colours_and_rotation_are_torchvisions() -> None:
    image = torch.full((3, 30, 50), 100, dtype=torch.uint8)
    brightness = [view(image, n, crop=1, colour=0.3).float().mean().item() for n in range(1, 200)]
    assert 67 <= min(brightness) < 75  # an even grey has no contrast, and no saturation
    assert 125 < max(brightness) <= 130
    turned = view(noise(30, 50), 2, crop=1, colour=0, rotation=180)
    random = np.random.default_rng((0, 2, 7))
    angle = 180 * (2 * random.random() - 1)
    bilinear = vision.InterpolationMode.BILINEAR
    wanted = vision.rotate(noise(30, 50), angle, bilinear, fill=[127.5] * 3)
    assert torch.equal(turned, wanted)


# Stores of several views.


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images, one of which is none."""
    root = tmp_path_factory.mktemp("images")
    for number in range(7):
        pixels = noise(20 + number, 30).roll(number).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(root / f"{number}.png")
    (root / "4.png").write_bytes(b"none")
    return root


def folder_of(path: Path, images: Path) -> DataFolder:
    records = [ImageRecord(n, f"{n}.png", "train" if n < 6 else "val") for n in range(7)]
    questions, captions = [], []
    for n in range(7):
        for i, (text, answers) in enumerate(LEFT_AND_RIGHT):
            split, best = records[n].split, answers[0]
            questions.append(Question(10 * n + i, n, text, split, answers, best, "other"))
        for i, side in enumerate(("left", "right")):
            words = ("a", "dog", "on", "the", side, *["now"] * i)
            text = f"A dog on the {side}{' now' * i}."
            captions.append(Caption(10 * n + i, n, text, words, records[n].split))
        captions.append(Caption(10 * n + 2, n, "A cat.", ("a", "cat"), records[n].split))
    write_folder(path, Collection("x", str(images), records, questions, captions))
    return DataFolder(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, images: Path) -> DataFolder:
    folder = folder_of(tmp_path_factory.mktemp("data") / "d", images)
    size = {"size": 16, "batch_size": 2, "resize": "squash"}
    extract(folder.path, "pixels", name="plain", **size)
    extract(folder.path, "pixels", name="views", views=4, augment=ONLY_FLIP, **size)
    given = {"weights": "random", "size": 64, "views": 2, "augment": {"crop": 0.5}}
    extract(folder.path, "timm:test_resnet", name="net", **given)
    return folder


@pytest.fixture
def store(folder: DataFolder) -> FeatureStore:
    return FeatureStore.open(folder.store_path("views"), images=folder.images())


def test_the_first_view_is_the_plain_store(folder: DataFolder, store: FeatureStore) -> None:
    plain = FeatureStore.open(folder.store_path("plain"))
    assert (len(store), store.views, store.header.rows) == (7, 4, 28)
    assert np.array_equal(store.rows([3, 5]), [3, 5])
    assert np.array_equal(store.features[:7], plain.features)
    grid = store.features.reshape(4, 7, 16, 16, 3).astype(int)
    assert np.abs(grid[1] - grid[0][:, :, ::-1]).max() <= 1
    assert np.array_equal(grid[2], grid[0])
    assert store.counts.reshape(4, 7).tolist() == [[256] * 4 + [0] + [256] * 2] * 4
    assert [one.id for one in store.skipped()] == [4]
    skipped = json.loads((store.path / "skipped.json").read_text())
    assert [one["id"] for one in skipped] == [4]
    assert verify_store(store.path) == (7, [])
    assert describe_store(store.path)["views"] == "4 of each"


def test_views_that_were_begun_go_on_to_the_same_bytes(
    folder: DataFolder, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_writer, "CHUNK", 3)
    add, added = StoreWriter.add, []

    def stops(self: StoreWriter, **columns: object) -> None:
        if len(added) == 5:
            raise KeyboardInterrupt
        added.append(1)
        add(self, **columns)

    given = {"size": 16, "batch_size": 2, "views": 3, "augment": {"rotation": 30, "seed": 2}}
    other = folder_of(tmp_path / "d", images).path
    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "add", stops)
        with pytest.raises(KeyboardInterrupt):
            extract(other, "pixels", **given)
    again = extract(other, "pixels", **given)
    assert again.name == "pixels-16-views3"
    whole = extract(folder.path, "pixels", **given)
    assert (again / "features.npy").read_bytes() == (whole / "features.npy").read_bytes()
    with pytest.raises(BadStore, match="augmentation"):
        extract(other, "pixels", **{**given, "augment": {"seed": 3}})


def test_a_converted_store_keeps_its_views(folder: DataFolder) -> None:
    old = FeatureStore.open(folder.store_path("net"))
    new = FeatureStore.open(convert_store(old.path, dtype="float32", name="long"))
    assert (new.views, new.header.augmentation) == (2, old.header.augmentation)
    assert np.array_equal(new.features, old.features.astype(np.float32))
    assert not np.array_equal(new.features[:7], new.features[7:])
    assert [one.id for one in new.skipped()] == [4]


def test_the_command_has_the_views_and_settings_are_checked(folder: DataFolder) -> None:
    chosen = ExtractSettings(backbone="pixels", views=3, augment={"flip": False, "crop": 0.5})
    assert "--views 3 --augment crop=0.5 --augment flip=False" in chosen.command(Path("d"))
    for wrong, field in (
        ({"augment": {"flip": False}}, "views"),
        ({"views": 2, "augment": {"crop": 0}}, "augment.crop"),
        ({"views": 2, "augment": {"zoom": 2}}, "augment.zoom"),
        ({"views": 0}, "views"),
    ):
        with pytest.raises(BadConfig, match=field):
            extract(folder.path, "pixels", name="wrong", **wrong)
    with pytest.raises(ValueError, match="augmentation"):
        FeatureStore.open(folder.store_path("plain")).header.replace(views=2)


# Examples that show them.


def questions(folder: DataFolder, store: FeatureStore, views: str) -> VqaExamples:
    name = "show_ask_attend_answer"
    vocabulary = question_vocabulary(folder.word_counts(name, "questions"), tokenizer=name)
    answers = AnswerList(("left", "right", "on the left", "cat", "dog", "yes"), "none")
    return VqaExamples(folder, "train", store, vocabulary, answers, target="shares", views=views)


def read(examples: VqaExamples, rows: np.ndarray) -> list[tuple[bytes, str, set[str]]]:
    """The pixels of each example's image, its question, its answers."""
    batch, words = examples.batch(rows), examples.vocabulary.words
    listed = ("left", "right", "on the left", "cat", "dog", "yes")
    return [
        (
            batch.regions[batch.image[i]].numpy().tobytes(),
            " ".join(words[id_] for id_ in batch.question[i][: batch.question_length[i]]),
            {
                listed[a]
                for a, w in zip(batch.answers[i], batch.answer_weights[i], strict=True)
                if w
            },
        )
        for i in range(len(rows))
    ]


def test_a_mirrored_image_has_mirrored_words_or_is_not_shown(
    folder: DataFolder, store: FeatureStore
) -> None:
    examples, plain = questions(folder, store, "all"), questions(folder, store, "plain")
    everything = np.arange(len(examples))
    assert len(examples) == 5 * 5  # image 4 is none
    # "Is that the right answer?" is unclear; "on the right" is not in the list of answers.
    assert examples.views.never_mirrored == 2 * 5
    told = read(plain, everything)
    assert read(examples, everything) == told, "before an epoch begins"
    exchanged = {
        "what is on the left": ("what is on the right", {"cat"}),
        "what is on the right": ("what is on the left", {"dog"}),
        "where is the dog": ("where is the dog", {"left"}),
    }
    mirrored = {store.read(np.array([n + 7]))[0].tobytes(): n for n in range(7)}
    seen, unclear = 0, 0
    for epoch in range(6):
        examples.start_epoch(0, epoch)
        for (pixels, text, answers), (_, before, listed) in zip(
            read(examples, everything), told, strict=True
        ):
            if pixels in mirrored:
                assert (text, answers) == exchanged[before]
                seen += 1
            else:
                assert (text, answers) == (before, listed)
        unclear += sum("answer" in text for _, text, _ in told)
    assert 0 < seen < 6 * 15


def test_the_views_of_an_epoch_depend_on_seed_and_epoch_alone(
    folder: DataFolder, store: FeatureStore
) -> None:
    def shown(seed: int, epoch: int, before: int = 0) -> np.ndarray:
        examples = questions(folder, store, "all")
        for earlier in range(before):
            examples.start_epoch(seed, earlier)
        examples.start_epoch(seed, epoch)
        return examples.views.rows

    assert np.array_equal(shown(3, 5), shown(3, 5, before=5))
    assert not np.array_equal(shown(3, 5), shown(3, 6))
    assert not np.array_equal(shown(3, 5), shown(4, 5))
    drawn = np.concatenate([shown(0, epoch) for epoch in range(30)]) // 7
    assert set(drawn.tolist()) == {0, 1, 2, 3}
    examples = questions(folder, store, "unmirrored")
    images = np.concatenate([_drawn(examples, epoch) for epoch in range(30)]) // 7
    assert set(images.tolist()) == {0, 2}
    same = questions(folder, store, "unmirrored").views
    same.draw(0, 1)
    # All examples of an image show the same view.
    assert all(len(set(same.rows[same.image == n])) == 1 for n in np.unique(same.image))


def _drawn(examples: VqaExamples, epoch: int) -> np.ndarray:
    examples.start_epoch(0, epoch)
    return examples.views.rows


def test_workers_show_the_same_views(folder: DataFolder, store: FeatureStore) -> None:
    examples = questions(folder, store, "all")
    examples.start_epoch(0, 2)
    order = np.arange(len(examples))
    for here, there in zip(
        batches(examples, order, 8), batches(examples, order, 8, workers=1), strict=True
    ):
        assert torch.equal(here.regions, there.regions)
        assert torch.equal(here.question, there.question)


def test_captions_of_mirrored_images(folder: DataFolder, store: FeatureStore) -> None:
    counts = folder.word_counts("karpathy", "captions")
    vocabulary = caption_vocabulary(counts, tokenizer="karpathy")
    captions = CaptionExamples(folder, "train", store, vocabulary, views="all")
    assert captions.views.never_mirrored == 5  # "on the right now"
    plain = cider_of(ImageExamples(CaptionExamples(folder, "train", store, vocabulary)))
    images = ImageExamples(captions)
    batch = captions.batch(np.arange(3))
    assert np.array_equal(
        cider_of(images).score(references(batch), references(batch)),
        plain.score(references(batch), references(batch)),
    )
    found = set()
    for epoch in range(8):
        images.start_epoch(0, epoch)
        batch = images.batch(np.array([0]))
        for caption, image in zip(batch.caption, batch.image, strict=True):
            shown = int(
                np.flatnonzero((store.features == batch.regions[image].numpy()).all((1, 2)))[0]
            )
            found.add((shown // 7 % 2 == 1, " ".join(vocabulary.decode(caption.tolist()))))
    assert found == {
        *((False, f"a dog on the {words}") for words in ("left", "right now")),
        *((mirrored, "a cat") for mirrored in (False, True)),
        (True, "a dog on the right"),
    }


def test_a_recipe_asks_for_views_and_is_refused_without(
    folder: DataFolder, store: FeatureStore
) -> None:
    recipe = change(RECIPES["show-ask-attend-answer-small"], "train.views=all")
    pixels = recipe.replace(encoder={"backbone": "timm:test_resnet", "weights": "random"})
    with pytest.raises(BadStore, match="views"):
        assemble(pixels, folder, "plain")
    experiment = assemble(pixels, folder, "views")
    assert question_examples(experiment, "train").views.mirrorable is not None
    assert question_examples(experiment, "val").views.mirrorable is None
    # A run that was trained on views can be applied to plain images.
    plain = SimpleNamespace(
        **{**vars(experiment), "store": FeatureStore.open(folder.store_path("plain"))}
    )
    assert question_examples(plain, "train").views.mirrorable is None


def test_training_draws_views_anew_in_each_epoch_and_resumes_exactly(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[int, int]] = []
    start_epoch = VqaExamples.start_epoch

    def noted(self: VqaExamples, seed: int, epoch: int) -> None:
        drawn.append((seed, epoch))
        start_epoch(self, seed, epoch)

    monkeypatch.setattr(VqaExamples, "start_epoch", noted)
    screen = io.StringIO()
    recipe = RECIPES["show-ask-attend-answer-small"]
    for word in ("train.views=all", "train.seed=4", "train.batch_size=8", "train.epochs=2"):
        recipe = change(recipe, word)
    given = {"features": "net", "device": "cpu", "console": Console(file=screen, width=200)}
    train(recipe, folder.path, tmp_path / "whole", **given)
    assert drawn == [(4, 0), (4, 1)]
    assert "one of 2 views of an image" in screen.getvalue()
    assert "10 of 25 examples are never mirrored" in screen.getvalue()
    train(change(recipe, "train.epochs=1"), folder.path, tmp_path / "parts", **given)
    train(recipe, folder.path, tmp_path / "parts", resume=True, **given)
    whole, parts = (
        [
            json.loads(line)["loss"]
            for line in (tmp_path / name / "log.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "parts")
    )
    assert whole == parts
