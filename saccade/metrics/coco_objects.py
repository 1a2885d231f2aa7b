"""Names of COCO's 80 categories in captions: the words that people use for each, written for this.

A word is a category's own name or another one for it or for a kind of it, such as "puppy" for a
dog. Left out are words that more often mean something else ("case", "glass", "play"). Some pairs of
words are no mention of what they hold: a hot dog is no dog, a train track no train.
"""

from collections.abc import Iterable, Sequence
from functools import cache

NAMES = {
    "person": "people man men woman women boy girl child children kid baby toddler infant teenager "
    "adult guy lady gentleman skier snowboarder skateboarder surfer swimmer cyclist bicyclist "
    "biker motorcyclist rider player batter pitcher catcher umpire referee goalie athlete "
    "jockey ball|player baseball|player cowboy pedestrian passenger driver policeman fireman "
    "soldier chef waiter worker student "
    "teacher bride groom family mother father mom dad son daughter brother sister friend couple "
    "crowd spectator human male female tourist fisherman businessman",
    "bicycle": "bike cycle tricycle",
    "car": "automobile taxi cab sedan minivan suv hatchback",
    "motorcycle": "motorbike motor|bike motor|cycle moped scooter dirt|bike",
    "airplane": "plane aeroplane aircraft jet airliner jetliner air|plane biplane",
    "bus": "minibus double|decker school|bus",
    "train": "locomotive subway tram trolley streetcar",
    "truck": "lorry pickup fire|truck firetruck pick|up|truck tow|truck",
    "boat": "ship sailboat canoe kayak rowboat yacht ferry gondola motorboat raft",
    "traffic light": "stoplight stop|light traffic|signal street|light",
    "fire hydrant": "hydrant",
    "stop sign": "",
    "parking meter": "",
    "bench": "pew",
    "bird": "seagull gull pigeon duck goose geese swan owl parrot pelican eagle hawk sparrow "
    "ostrich penguin flamingo heron crow peacock chicken rooster hen",
    "cat": "kitten kitty feline",
    "dog": "puppy pup poodle bulldog labrador terrier dachshund pit|bull canine",
    "horse": "pony foal colt stallion mare donkey",
    "sheep": "lamb ewe ram",
    "cow": "cattle calf calves bull ox oxen steer bovine heifer",
    "elephant": "",
    "bear": "polar|bear grizzly panda cub",
    "zebra": "",
    "giraffe": "",
    "backpack": "knapsack rucksack",
    "umbrella": "parasol",
    "handbag": "purse",
    "tie": "necktie bow|tie bowtie",
    "suitcase": "luggage suit|case",
    "frisbee": "",
    "skis": "ski",
    "snowboard": "",
    "sports ball": "ball baseball basketball football tennis|ball soccer|ball volleyball",
    "kite": "",
    "baseball bat": "bat",
    "baseball glove": "mitt catcher's|mitt",
    "skateboard": "skate|board longboard",
    "surfboard": "surf|board",
    "tennis racket": "racket racquet tennis|racquet",
    "bottle": "",
    "wine glass": "wineglass",
    "cup": "mug teacup",
    "fork": "",
    "knife": "knives",
    "spoon": "",
    "bowl": "",
    "banana": "",
    "apple": "",
    "sandwich": "burger hamburger cheeseburger panini",
    "orange": "",
    "broccoli": "",
    "carrot": "",
    "hot dog": "hotdog",
    "pizza": "",
    "donut": "doughnut",
    "cake": "cupcake cheesecake cup|cake",
    "chair": "armchair stool recliner highchair",
    "couch": "sofa loveseat futon settee",
    "potted plant": "houseplant house|plant",
    "bed": "bunk|bed",
    "dining table": "table desk",
    "toilet": "urinal toilet|seat toilet|bowl",
    "tv": "television tv|set",
    "laptop": "notebook|computer laptop|computer",
    "mouse": "computer|mouse",
    "remote": "remote|control tv|remote",
    "keyboard": "",
    "cell phone": "cellphone phone smartphone mobile|phone smart|phone iphone",
    "microwave": "microwave|oven",
    "oven": "stove",
    "toaster": "",
    "sink": "",
    "refrigerator": "fridge",
    "book": "novel",
    "clock": "",
    "vase": "",
    "scissors": "scissor",
    "teddy bear": "teddy stuffed|bear",
    "hair drier": "hair|dryer hairdryer blow|dryer",
    "toothbrush": "",
}
"""The other words of each category; a bar stands for the blank of several words."""
NO_OBJECTS = (
    *("couple of", "family of", "cd player", "dvd player", "record player", "music player"),
    *("train track", "train station", "bus stop", "bus station", "home plate", "mouse pad"),
    "phone booth",
    *("pizza box", "book shelf", "orange juice", "apple pie", "toilet paper", "toilet brush"),
    *("bird house", "dog house", "table tennis", "table cloth", "chair lift", "ski lift"),
    *("ski slope", "ski resort", "baseball field", "baseball game", "baseball cap", "baseball hat"),
    *("baseball uniform", "baseball team", "baseball diamond", "baseball stadium", "ball game"),
    *("baseball park", "football field", "football game", "basketball court", "basketball game"),
)
"""Words that mention no object, though one of them is the name of one."""
ANIMALS = ["bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"]
OF_ANIMALS = ["baby", "adult", "mother", "female", "male"]
"""Words that are a person, but not before the name of an animal."""
_LONGEST = 3
"""Words of the longest name."""


def objects_mentioned(words: Sequence[str]) -> list[str]:
    """The category of each mention in a caption of lower-case words, in its order, repeated as
    often as it is mentioned. Of names that begin at one word the longest counts.
    """
    found, place, names = list[str](), 0, _names()
    while place < len(words):
        for length in range(_LONGEST, 0, -1):
            name = " ".join(words[place : place + length])
            if name in names:
                found += [names[name]] if names[name] else []
                place += length
                break
        else:
            place += 1
    return found


@cache
def _names() -> dict[str, str]:
    """Every name, in the singular and the plural, with its category; none of `NO_OBJECTS`."""
    names = dict.fromkeys([*NO_OBJECTS, *_plurals(NO_OBJECTS)], "")
    for category, others in NAMES.items():
        singular = [category, *(other.replace("|", " ") for other in others.split())]
        every = [*_plurals(singular), *singular]
        names |= dict.fromkeys(every, category)
        if category in ANIMALS:
            names |= {f"{before} {name}": category for before in OF_ANIMALS for name in every}
    return names | {"passenger train": "train"}


def _plurals(names: Iterable[str]) -> Iterable[str]:
    """Plurals of the last word by rule; those of other words stand among the names."""
    for name in names:
        if name.endswith("man"):
            yield f"{name[:-3]}men"
        elif name.endswith(("s", "x", "z", "ch", "sh")):
            yield f"{name}es"
        elif name.endswith("y") and name[-2] not in "aeiou":
            yield f"{name[:-1]}ies"
        else:
            yield f"{name}s"
