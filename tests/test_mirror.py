"""Words of mirrored images: exchanged where they are sides, and no text where that is not sure."""

from itertools import chain

import numpy as np
import pytest

from saccade.datasets.shapes import questions_about
from saccade.datasets.shapes_scenes import Scene, make_scene
from saccade.text.mirror import mirrored, mirrored_question

EXCHANGED = [
    ("What is to the left of the dog?", "What is to the right of the dog?"),
    ("Who is on the right?", "Who is on the left?"),
    ("the person on the far right wearing a hat", "the person on the far left wearing a hat"),
    ("What is in his right hand?", "What is in his left hand?"),
    ("What is on the man's left arm?", "What is on the man's right arm?"),
    ("on the man 's left", "on the man 's right"),
    ("The right-hand side; LEFT SIDE, Left side", "The left-hand side; RIGHT SIDE, Right side"),
    ("leftmost rightmost leftward", "rightmost leftmost rightward"),
    ("is he right or left handed?", "is he left or right handed?"),
    ("count them from left to right", "count them from right to left"),
    ("from the left to the right", "from the right to the left"),
    ("Is the cat left of the dog?", "Is the cat right of the dog?"),
    ("second from left", "second from right"),
    ("top-left, bottom right, upperleft", "top-right, bottom left, upperright"),
    ("What color is the left car?", "What color is the right car?"),
    ("a man, left, and a woman", "a man, right, and a woman"),
    ("a bus turning right", "a bus turning left"),
    ("on the left a man sits", "on the right a man sits"),
    ("right", "left"),
    ("Left.", "Right."),
    ("it spins clockwise", "it spins counterclockwise"),
    ("anti-clockwise", "clockwise"),
    ("狗的左边是什么?", "狗的右边是什么?"),
    ("最右侧的人左手拿着什么", "最左侧的人右手拿着什么"),
    ("从左到右", "从右到左"),
    ("左上角和右下方", "右上角和左下方"),
    ("向右转的车", "向左转的车"),
    ("逆时针", "顺时针"),
    ("向左倾斜的塔", "向右倾斜的塔"),
    ("左轮胎", "右轮胎"),
    ("图中 left side 的人", "图中 right side 的人"),
]
AS_IT_IS = [
    "a bright upright piano, leftovers and human rights",
    "What color is the bus?",
    "大约十个左右的苹果",
    "左右两边都有树",
    "他左顾右盼",
    "一把左轮手枪",
    "一个人在看西瓜和别的东西",
]
UNCLEAR = [
    "Is this the right answer?",
    "Does this look right?",
    "Is that right?",
    "It is a dog, right?",
    "a man standing right next to a bus",
    "What is he doing right now?",
    "Is the picture right side up?",
    "Who has the right of way?",
    "Are they driving on the right side of the road?",
    "Is it on the right track?",
    "How many slices are left?",
    "What is left of the pizza?",
    "the man left the room",
    "The bus in the back left the station",
    "What's left on the plate?",
    "the left over pizza",
    "a bag left behind, a dog on the left",
    "Is the right man tall?",
    "Which city lies to the west?",
    "Is this the Southeastern line?",
    "What time does the clock on the left show?",
    "What does the sign on the left say?",
    'a sign of "no left turn"',
    "What number is on the right?",
    "Which side has the letter L?",
    "there is an R in the corner",
    "Was ist links vom Haus?",
    "¿Qué hay a la izquierda?",
    "à droite",
    "左折する車は?",
    "왼쪽에 무엇이 있습니까?",
    "слева от дома",
    "左右分别是什么?",
    "左先生在做什么?",
    "右翼是什么颜色?",
    "城市的东边是什么?",
    "现在几点?",
    "牌子上写着什么?",
]


@pytest.mark.parametrize(("text", "other"), EXCHANGED)
def test_sides_are_exchanged(text, other):
    assert mirrored(text) == other
    if "clockwise" not in text and "car" not in text:
        assert mirrored(other) == text  # "clockwise" has two opposites; "the right car" is unclear


@pytest.mark.parametrize("text", AS_IT_IS)
def test_words_that_are_no_side_stay(text):
    assert mirrored(text) == text


@pytest.mark.parametrize("text", UNCLEAR)
def test_what_may_be_false_is_not_used(text):
    assert mirrored(text) is None


def test_a_question_is_mirrored_with_all_its_answers():
    assert mirrored_question("Where is it?", ["left", "on the right", "table"]) == (
        *("Where is it?",),
        ["right", "on the left", "table"],
    )
    assert mirrored_question("Is it on the left?", ["yes"]) == ("Is it on the right?", ["yes"])
    assert mirrored_question("Is this answer true?", ["right"]) is None
    assert mirrored_question("What did the man do?", ["left"]) is None
    assert mirrored_question("Who is on the left?", ["the right man"]) is None


def test_it_agrees_with_scenes_that_were_mirrored_themselves():
    # The oracle: what can be asked, and is true, of each scene with all shapes at 1 - x.
    random, sides = np.random.default_rng(5), 0
    for _ in range(20):
        scene = make_scene(random)
        shapes = [shape._replace(x=round(1 - shape.x, 4)) for shape in scene.shapes]
        ours, theirs = set(), set()
        for asked in chain.from_iterable(questions_about(scene).values()):
            question, answers = mirrored_question(asked.text, [asked.answer])
            ours.add((question, *answers))
        for asked in chain.from_iterable(questions_about(Scene("plain", tuple(shapes))).values()):
            theirs.add((asked.text, asked.answer))
        questions = {text for text, _ in ours & theirs}
        assert len(questions) > 50
        # A difference that is exactly at a threshold may be asked about on one side only.
        assert {text for text, _ in ours ^ theirs} & questions == set()
        sides += sum("right" in f"{text} {answer}" for text, answer in ours & theirs)
    assert sides > 10
