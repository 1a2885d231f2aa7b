"""A WordNet of a dozen nouns in the real one's file format, and Wu-Palmer similarity in it by hand.

entity > animal > dog, hound > puppy
                > cat
                > mouse (the animal)
       > tool   > hammer
                > mouse (of a computer)
       > ice cream
"""

from pathlib import Path

PARENT = {
    "entity": None,
    "animal": "entity",
    "tool": "entity",
    "dog": "animal",
    "puppy": "dog",
    "cat": "animal",
    "mouse": "animal",
    "hammer": "tool",
    "pointer": "tool",
    "ice_cream": "entity",
}
"""Senses, by a name of their own, and what each is a kind of."""
WORDS = {"dog": ["dog", "hound"], "pointer": ["mouse"]}
"""What a sense is called, where that is not its name."""
SUFFIXES = ("noun", "verb", "adj", "adv")


def words(sense):
    return WORDS.get(sense, [sense])


def write(folder: Path) -> Path:
    """Lay the files down: every record of `data.noun` begins with its own place in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    head = "  1 a WordNet made up for tests\n"
    place, at = len(head), {}
    for sense in PARENT:
        at[sense] = place
        place += len(record(sense, dict.fromkeys(PARENT, 0)))
    data = head + "".join(record(sense, at) for sense in PARENT)
    index = [
        f"{word} n {len(of)} 0 {len(of)} 0 {' '.join(f'{at[sense]:08d}' for sense in of)}\n"
        for word in sorted({word for sense in PARENT for word in words(sense)})
        for of in [[sense for sense in PARENT if word in words(sense)]]
    ]
    for suffix in SUFFIXES:
        noun = suffix == "noun"
        (folder / f"data.{suffix}").write_text(data if noun else head)
        (folder / f"index.{suffix}").write_text(head + "".join(index) if noun else head)
        (folder / f"{suffix}.exc").write_text("mice mouse\n" if noun else "")
    (folder / "lexnames").write_text("00\tnoun.all\t1\n")
    (folder / "cntlist.rev").write_text("")
    (folder / "index.sense").write_text("")
    return folder


def record(sense, at):
    """A line: place, file, kind, number of words, words, pointers (@ is "a kind of"), meaning."""
    called = words(sense)
    pointers = [f"@ {at[PARENT[sense]]:08d} n 0000"] if PARENT[sense] else []
    pointers += [f"~ {at[other]:08d} n 0000" for other in PARENT if PARENT[other] == sense]
    return (
        f"{at[sense]:08d} 00 n {len(called):02x} {' '.join(f'{word} 0' for word in called)} "
        f"{len(pointers):03d} {' '.join([*pointers, '|'])} a thing called {called[0]}\n"
    )


def path(sense):
    """From a sense up to the root, both included."""
    return [sense, *path(PARENT[sense])] if PARENT[sense] else [sense]


def similarity(one, other):
    """Of two words: the best over their senses."""
    best = 0.0
    for a in (sense for sense in PARENT if one in words(sense)):
        for b in (sense for sense in PARENT if other in words(sense)):
            common = next(sense for sense in path(a) if sense in path(b))
            best = max(best, 2 * len(path(common)) / (len(path(a)) + len(path(b))))
    return best
