"""The Shapes world: honest images, questions that need looking, captions that can be learnt."""

import hashlib
import json
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from saccade.core.errors import BadConfig, BadData
from saccade.data.folder import DataFolder
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import (
    QUESTIONS,
    Balance,
    captions_of,
    make_shapes,
    questions_about,
    read_scenes,
)
from saccade.datasets.shapes_scenes import (
    COLORS,
    KINDS,
    SIZES,
    TEXTURES,
    cell_labels,
    draw,
    inside,
    make_scene,
    middles,
)
from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.vqa import vqa_accuracy_of
from saccade.text.tokenizers import caption_words

NUMBERS = {"train": 400, "val": 100}
PIXELS_AND_WORDS = "c1576c4156113712", "899159efa8f060b1"
"""How their SHA-256 begins. It changes only when the world is changed on purpose."""


def generator(seed):
    return np.random.Generator(np.random.PCG64(seed))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("shapes")
    make_shapes(root, images=NUMBERS)
    return root


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory):
    path = tmp_path_factory.mktemp("prepared") / "data"
    return DataFolder(prepare("vqa-v2+karpathy", world, path))


@pytest.fixture(scope="module")
def seen(world):
    return {one.id: one for one in read_scenes(world)}


class TestWorld:
    def test_the_readers_of_real_data_read_it(self, folder):
        splits = folder.about["splits"]
        assert splits["train"]["images"] == NUMBERS["train"]
        assert splits["val"]["captions"] == 5 * NUMBERS["val"]
        assert splits["train"]["questions"] == QUESTIONS * NUMBERS["train"]
        assert folder.tasks == ("vqa", "caption")
        assert folder.about["findings"] == []
        assert folder.about["licence"].startswith("made by saccade")

    def test_images_are_as_large_as_asked(self, folder, tmp_path):
        image_record = folder.images("val")[0]
        with Image.open(folder.image_root / image_record.file) as image:
            assert (image.size, image.mode) == ((128, 128), "RGB")
        make_shapes(tmp_path, images={"test": 1}, size=64)
        with Image.open(next((tmp_path / "images").iterdir())) as image:
            assert image.size == (64, 64)

    def test_pixels_and_words_are_the_same_on_every_machine(self, world):
        pixels, words = hashlib.sha256(), hashlib.sha256()
        for number in (1, 2, 3, 400, 1_000_001, 1_000_100):
            with Image.open(world / f"images/{number:012}.png") as image:
                pixels.update(image.tobytes())
        for name in ("v2_OpenEnded_train_questions", "v2_train_annotations", "dataset_shapes"):
            words.update((world / f"{name}.json").read_bytes())
        assert (pixels.hexdigest()[:16], words.hexdigest()[:16]) == PIXELS_AND_WORDS

    def test_more_images_leave_the_first_ones_alone(self, world, tmp_path):
        make_shapes(tmp_path, images={"train": 5, "val": 3})
        for path in (tmp_path / "images").iterdir():
            assert path.read_bytes() == (world / "images" / path.name).read_bytes()
        few = json.loads((tmp_path / "v2_OpenEnded_val_questions.json").read_text())
        many = json.loads((world / "v2_OpenEnded_val_questions.json").read_text())
        assert few["questions"] == many["questions"][: len(few["questions"])]

    def test_seeds_differ(self, tmp_path):
        make_shapes(tmp_path / "one", images={"train": 2}, seed=1)
        make_shapes(tmp_path / "two", images={"train": 2}, seed=2)
        one, two = (read_scenes(tmp_path / name) for name in ("one", "two"))
        assert [s.scene for s in one] != [s.scene for s in two]

    @pytest.mark.parametrize(
        "wrong", [{"images": {}}, {"images": {"dev": 3}}, {"images": {"val": 0}}, {"size": 8}]
    )
    def test_worlds_that_cannot_be(self, tmp_path, wrong):
        with pytest.raises(BadConfig, match="cannot be made"):
            make_shapes(tmp_path, **wrong)

    def test_no_world_there(self, tmp_path):
        with pytest.raises(BadData, match=r"scenes\.json: there is no such file"):
            read_scenes(tmp_path)


class TestScenes:
    @settings(max_examples=60)
    @given(seed=st.integers(0, 2**32))
    def test_shapes_are_apart_inside_and_have_their_own_names(self, seed):
        scene = make_scene(generator(seed))
        assert 2 <= len(scene.shapes) <= 5
        assert len({shape.name for shape in scene.shapes}) == len(scene.shapes)
        assert [s.x for s in scene.shapes] == sorted(s.x for s in scene.shapes)
        for shape in scene.shapes:
            assert all(0 <= edge <= 1 for edge in shape.box)
        x = y = middles(0, 256) / np.float32(256)
        covers = [inside(shape, x[None, :], y[:, None], 1) > 0 for shape in scene.shapes]
        assert not any((one & other).any() for one, other in combinations(covers, 2))

    @settings(max_examples=20)
    @given(seed=st.integers(0, 2**32))
    def test_boxes_are_tight(self, seed):
        for shape in make_scene(generator(seed)).shapes:
            x = y = middles(0, 384)
            down, across = np.nonzero(inside(shape, x[None, :], y[:, None], 384) > 0)
            edges = across.min(), down.min(), across.max() + 1, down.max() + 1
            slack = 6 if shape.kind in ("star", "triangle") else 2  # sharp tips miss pixel middles
            assert np.abs(np.array(shape.box) * 384 - edges).max() <= slack

    def test_an_image_shows_the_colours_of_its_scene(self):
        for seed in range(20):
            random = generator(seed)
            scene = make_scene(random)
            image = draw(scene, 128, random).astype(int)
            for shape in scene.shapes:
                middle = image[round(shape.y * 128), round(shape.x * 128)]
                distance = {c: np.abs(middle - rgb).sum() for c, rgb in COLORS.items()}
                assert min(distance, key=distance.get) == shape.color

    @settings(max_examples=60)
    @given(seed=st.integers(0, 2**32), rows=st.integers(4, 14), columns=st.integers(4, 14))
    def test_every_shape_has_its_cells(self, seed, rows, columns):
        shapes = make_scene(generator(seed)).shapes
        labels = cell_labels(shapes, rows, columns)
        assert labels.shape == (3, rows, columns)
        assert ((labels > 0).all(0) | (labels == 0).all(0)).all()
        for kind, color, size in {tuple(cell) for cell in labels.reshape(3, -1).T} - {(0, 0, 0)}:
            name = f"{[*COLORS][color - 1]} {KINDS[kind - 1]}"
            (shape,) = (shape for shape in shapes if shape.name == name)
            assert shape.size == [*SIZES][size - 1]

    def test_cells_lie_where_the_shape_is(self):
        for seed in range(30):
            shapes = make_scene(generator(seed)).shapes
            labels = cell_labels(shapes, 8, 8)
            for shape in shapes:
                number = KINDS.index(shape.kind) + 1, [*COLORS].index(shape.color) + 1
                mine = (labels[0] == number[0]) & (labels[1] == number[1])
                assert mine.any()
                down, across = np.nonzero(mine)
                left, top, right, bottom = shape.box
                assert (across + 1 > left * 8).all()
                assert (across < right * 8).all()
                assert (down + 1 > top * 8).all()
                assert (down < bottom * 8).all()

    def test_the_world_is_varied(self, seen):
        shapes = [shape for one in seen.values() for shape in one.scene.shapes]
        for values, names in (
            ([s.kind for s in shapes], KINDS),
            ([s.color for s in shapes], COLORS),
            ([s.size for s in shapes], SIZES),
            ([one.scene.texture for one in seen.values()], TEXTURES),
        ):
            counts = Counter(values)
            assert counts.keys() == set(names)
            assert min(counts.values()) > 0.7 * len(values) / len(names)


class TestQuestions:
    def test_answers_are_true(self, folder, seen):
        """A second opinion on every kind of question, from the words alone."""
        checked = Counter()
        for question in folder.questions("val"):
            shapes = seen[question.image_id].scene.shapes
            kind, expected = second_opinion(question.text, shapes)
            assert question.best_answer == expected, (question.text, shapes)
            checked[kind] += 1
        assert len(checked) == 7
        assert min(checked.values()) >= 5

    def test_each_answer_to_a_wording_comes_up_equally_often(self, folder):
        given = defaultdict(Counter)
        for question in folder.questions("train"):
            given[question.text][question.best_answer] += 1
        closed = {text: c for text, c in given.items() if text.startswith(("Is there", "Are "))}
        assert len(closed) > 40
        for kind in KINDS:
            counts = closed[f"Is there a {kind}?"]
            assert abs(counts["yes"] - counts["no"]) <= 2
            of_a_color = [closed.get(f"Is there a {color} {kind}?", Counter()) for color in COLORS]
            yes, no = (sum(counts[answer] for counts in of_a_color) for answer in ("yes", "no"))
            assert abs(yes - no) <= 2
        colors = sum((given[f"What color is the {kind}?"] for kind in KINDS), Counter())
        assert colors.keys() == COLORS.keys()
        assert max(colors.values()) <= 1.5 * min(colors.values())

    def test_the_question_alone_is_not_enough(self, folder):
        words, openings = defaultdict(Counter), defaultdict(Counter)
        for question in folder.questions("train"):
            words[question.text].update(question.answers)
            openings[question.question_type].update(question.answers)

        def blind(question):
            known = words.get(question.text) or openings[question.question_type]
            return known.most_common(1)[0][0]

        val = folder.questions("val")
        assert mean(vqa_accuracy_of(blind(q), q.answers) for q in val) < 0.45
        assert mean(vqa_accuracy_of(q.best_answer, q.answers) for q in val) > 0.999

    def test_people_disagree_but_most_are_right(self, folder):
        val = folder.questions("val")
        assert {len(q.answers) for q in val} == {10}
        agree = [q.answers.count(q.best_answer) for q in val]
        assert min(agree) >= 7
        assert 0.4 < mean(count == 10 for count in agree) < 0.8
        assert all(Counter(q.answers).most_common(1)[0][0] == q.best_answer for q in val)

    def test_types_are_the_official_ones(self, folder):
        types = Counter((q.answer_type, q.question_type) for q in folder.questions("val"))
        assert {answer for answer, _ in types} == {"yes/no", "number", "other"}
        assert all(
            q.text.lower().startswith(q.question_type) and q.text.endswith("?")
            for q in folder.questions("val")
        )
        assert {q.answer_type for q in folder.questions("val") if q.best_answer in "01234"} == {
            "number"
        }

    def test_boxes_show_what_was_asked_about(self, world, folder, seen):
        boxes = json.loads((world / "boxes.json").read_text())
        about_one = 0
        for question in folder.questions("val"):
            shapes = seen[question.image_id].scene.shapes
            asked = boxes.get(str(question.id), [])
            assert all(tuple(box) in {shape.box for shape in shapes} for box in asked)
            if question.question_type in ("where is the", "what color is the", "what"):
                (box,) = asked
                (shape,) = (shape for shape in shapes if shape.box == tuple(box))
                words = question.text[:-1].split()
                assert shape.kind in words or shape.color in words
                about_one += 1
            if question.best_answer in ("no", "0") and question.question_type != "is the":
                assert not asked
        assert about_one > 100

    def test_a_scene_is_never_asked_the_same_twice(self):
        random = generator(5)
        balance = Balance()
        for _ in range(20):
            scene = make_scene(random)
            possible = questions_about(scene)
            chosen = balance.choose(scene, 12, random)
            assert len({asked.text for asked in chosen}) == 12
            assert all(asked in possible[asked.kind] for asked in chosen)


def second_opinion(text, shapes):
    """Answer a question about a scene, reading it word by word."""
    words = text[:-1].lower().split()
    plain = [word.removesuffix("es") if word == "crosses" else word.rstrip("s") for word in words]
    plain = ["cross" if word == "cro" else word for word in plain]

    def fits(shape, of):
        return all(
            word == value
            for value, known in (
                (shape.kind, KINDS),
                (shape.color, COLORS),
                (shape.size, SIZES),
            )
            for word in of
            if word in known
        )

    found = [shape for shape in shapes if fits(shape, plain)]
    if words[:2] in (["is", "there"], ["are", "there"]):
        return "exists", "yes" if found else "no"
    if words[0] == "how":
        return "count", str(len(found))
    if words[0] == "is":
        relation = next(word for word in words if word in ("left", "above", "larger"))
        cut = words.index(relation)
        (one,) = (shape for shape in shapes if fits(shape, plain[:cut]))
        (other,) = (shape for shape in shapes if fits(shape, plain[cut:]))
        true = {
            "left": one.x < other.x,
            "above": one.y < other.y,
            "larger": one.radius > other.radius,
        }
        return relation.replace("above", "left"), "yes" if true[relation] else "no"
    (shape,) = found
    if words[0] == "where":
        return "where", f"{'top' if shape.y < 0.5 else 'bottom'} " + (
            "left" if shape.x < 0.5 else "right"
        )
    return words[1], shape.color if words[1] == "color" else shape.kind


class TestCaptions:
    def test_shapes_are_named_from_left_to_right(self, folder, seen):
        for caption in folder.captions("val"):
            named = [w for w in caption.words if w in KINDS or w in COLORS]
            shapes = seen[caption.image_id].scene.shapes
            assert " ".join(named) == " ".join(shape.name for shape in shapes)
            assert caption.words == caption_words(caption.text)
            assert caption.text[0].isupper()
            assert caption.text.endswith(".")

    def test_sizes_and_grounds_are_true(self, folder, seen):
        for caption in folder.captions("val"):
            scene = seen[caption.image_id].scene
            said = [word for word in caption.words if word in SIZES]
            assert said in ([], [shape.size for shape in scene.shapes])
            if "background" in caption.words:
                assert scene.texture in caption.words

    def test_people_differ_but_a_good_caption_agrees_with_them(self, folder, seen):
        captions = defaultdict(list)
        for caption in folder.captions("val"):
            captions[caption.image_id].append(caption.words)
        assert {len(five) for five in captions.values()} == {5}
        assert mean(len(set(five)) for five in captions.values()) > 2
        perfect = []
        for number in captions:
            scene = seen[number].scene
            parts = [f"a {shape.size} {shape.name}" for shape in scene.shapes]
            sentence = f"{' '.join(parts[:-1])} and {parts[-1]} on a {scene.texture} background"
            perfect.append(sentence.split())
        score = corpus_bleu(perfect, list(captions.values()))
        assert score.corpus[3] > 0.85
        shuffled = perfect[1:] + perfect[:1]
        assert corpus_bleu(shuffled, list(captions.values())).corpus[3] < 0.4

    def test_five_sentences(self):
        random = generator(1)
        sentences = captions_of(make_scene(random), random)
        assert len(sentences) == 5


def test_nothing_half_written_stays(world):
    assert not list(Path(world).rglob("*.part"))
