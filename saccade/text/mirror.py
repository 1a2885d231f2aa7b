"""Text of a mirrored image: words of left and right exchanged, in English and Chinese.

"Right" may mean correct and "left" may mean gone, so these two are exchanged only where the words
beside them say that they are sides. Of every text that may be false of the mirrored image there is
none: of one that is unclear, names a point of the compass, tells what is written or what a clock
shows, or is in another language. Sides that are a convention rather than a place in the image, such
as "left lung" in a radiograph, cannot be told from others: nobody should mirror such images.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from saccade.text.tokenizers import caption_words


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TOKEN = re.compile(r"[A-Za-z]+|[^A-Za-z\s-]")
"""A word or a mark; a hyphen is as a blank."""
_OTHER_SCRIPT = re.compile(r"[^\W\d_A-Za-z\u3400-\u4dbf\u4e00-\u9fff]")
_DOUBTFUL_WORDS = _words(
    "starboard lt rt lhs rhs lefts clock clocks say says read reads spell spells spelled spelt "
    "spelling written letter letters word words text links rechts gauche droite sinistra destra "
    "izquierda izquierdo derecha derecho esquerda esquerdo direita direito linke linker linken "
    "linkes linkem rechte rechter rechten rechtes rechtem venstre vasen oikea lewo prawo kiri kanan"
).union(
    f"{before}{wind}{behind}"
    for before in ("", "north", "south")
    for wind in ("east", "west")
    for behind in ("", "ern", "erner", "erners", "ward", "wards", "erly")
)
"""The compass, what is written or counted by a clock, letters that mark sides, other languages."""
_DOUBTFUL_PHRASE = re.compile(
    r"\bnumbers?\b(?! of\b)|\bwhat time\b|\bno (?:left|right) turn\b|(?-i:\b[LR]\b)"
    r"|\"[^\"]*\b(?:left|right)\b[^\"]*\"|``[^']*\b(?:left|right)\b",
    re.IGNORECASE,
)
_ENGLISH = ("left", "right")
_EXCHANGED = re.compile(
    r"(?:\b|(?<=upper)|(?<=lower)|(?<=top)|(?<=bottom))(?:left|right)"
    r"(?=(?:most|wards?|hand(?:ed)?|side|facing)?\b)|\b(?:counter-?|anti-?)?clockwise\b",
    re.IGNORECASE,
)
_ENDINGS = (*_ENGLISH, "most", "ward", "wards", "hand", "handed", "side", "facing", "clockwise")
"""Of all words that are exchanged."""
_OPPOSITE = {
    **{"left": "right", "right": "left", "左": "右", "右": "左"},
    **{"顺时针": "逆时针", "逆时针": "顺时针", "順時針": "逆時針", "逆時針": "順時針"},
    **{"clockwise": "counterclockwise", "counterclockwise": "clockwise"},
    **{"anticlockwise": "clockwise", "counter-clockwise": "clockwise"},
    "anti-clockwise": "clockwise",
}

_SIDES = _words(
    "side sides sided hand hands handed handside most corner corners edge edges half halves end "
    "part portion section panel border margin quadrant third quarter arm arms leg legs foot feet "
    "eye eyes ear ears cheek shoulder knee elbow wrist ankle thigh hip palm thumb finger fingers "
    "paw hoof wing wings horn tusk shoe boot sock glove sleeve pocket breast chest armpit lane "
    "turn arrow wall page picture image photo photograph frame window headlight wheel tire burner "
    "facing forearm toe hind fore upper lower front rear bottom top middle center centre"
)
"""What is told apart by left and right."""
_PREPOSITIONS = _words("on to at in from of toward towards along by with near facing")
_OWNERS = _words("the his her its their my your our")
_NOT_OWNERS = _words("what who there he she it that where how all everyone everybody nothing here")
_PLACES = _words("top bottom upper lower far extreme")
_DEPTHS = _words("front back rear middle center centre mid furthest farthest very immediate")
_DIRECTED = _words(
    "to on at from toward towards facing face faces turn turns turned turning look looks looking "
    "looked point points pointing pointed lean leans leaning go goes going head heads heading move "
    "moves moving tilt tilts tilted tilting swerve swerving bend bends bending step steps stepping"
)
_STOPS = frozenset([*".,;:?!()\"'/", ""])
_GOES_ON = _words(
    "of is are was were and or has have who which that in with at from than as but while can do "
    "does a an there he she it they you we wearing holding looks appears hand side"
)
_CORRECT = _words(
    "now away after before behind next beside in at on up down through against by along into "
    "outside inside under underneath above below over near here there around across out off "
    "between angle angles triangle way answer thing"
)
"""Words after a "right" that is no side."""
_GONE = _words("the a an his her its their over overs out alone behind open unattended")
"""Words after a "left" that is a verb, or what remains."""
_REMAINS = _words(
    "is are was were be been s re what much many little few some any all one none anything "
    "something nothing everything"
)
"""Words before "left of" where it may mean what remains."""
_BETWEEN = _words("and or to , / & from then the on in at his her its their side hand")
_LINKS = _words("and or to , / &")
_TRAFFIC = _words("road roads street streets highway lane traffic track tracks drive driving")
_ASKS_FOR_SIDE = _words(
    "where which side sides way direction hand handed left right turn turning facing face looking "
    "pointing leaning going heading moving located"
)

_CHINESE_UNCLEAR = re.compile(
    r"[东西東](?:[北南边邊侧側面部方])|几点|幾點|点钟|點鐘|时间|時間|钟表|鐘錶|时钟|時鐘|[写寫字读讀]|左右.{0,2}(?:分别|分別|依次|各)|左(?:先生|女士|小姐|老师|老師|医生|醫生)|[左右]翼"
)
"""As the doubtful English ones; an order of both sides, a family name, a party's wing."""
_CHINESE = re.compile(
    r"左右|左[顾顧]右盼|左[邻鄰]右舍|左思右想|左[拥擁]右抱|左膀右臂|座右[铭銘]|旁[门門]左道"
    r"|左[轮輪]手?[枪槍]|[无無]出其右|[左右]派|左宗棠|(?P<word>[左右]|[顺順逆][时時][针針])"
)
"""Words that are no side, or both at once, or "about" (左右 behind a number); then the sides."""


@lru_cache(maxsize=65536)  # people give the same answers
def mirrored(text: str) -> str | None:
    """The same text as it is true of the mirrored image; None where that cannot be said."""
    tokens = _TOKEN.findall(text.lower())
    if not _DOUBTFUL_WORDS.isdisjoint(tokens) or _DOUBTFUL_PHRASE.search(text):
        return None
    if not text.isascii():
        if _CHINESE_UNCLEAR.search(text) or _OTHER_SCRIPT.search(text):
            return None
        text = _CHINESE.sub(lambda found: _OPPOSITE.get(found["word"] or "", found[0]), text)
    sides = [place for place, token in enumerate(tokens) if token in _ENGLISH]
    if not all(_is_side(tokens, place) for place in sides):
        return None
    has_word = any(token.endswith(_ENDINGS) for token in tokens)
    return _EXCHANGED.sub(_exchange, text) if has_word else text


def mirrored_question(question: str, answers: Sequence[str]) -> tuple[str, list[str]] | None:
    """A question and its answers, as they are true of the mirrored image; None as in `mirrored`.

    An answer of nothing but "left" or "right" is a side only where the question asks for one.
    """
    words = set(_TOKEN.findall(question.lower()))
    if not words & _ASKS_FOR_SIDE and any(one.lower().strip(" .") in _ENGLISH for one in answers):
        return None
    asked, given = mirrored(question), [mirrored(answer) for answer in answers]
    if asked is None or None in given:
        return None
    return asked, [answer for answer in given if answer is not None]


def mirrored_caption(text: str, words: Sequence[str]) -> list[str] | None:
    """The words of a caption, as they are true of the mirrored image; None as in `mirrored`.

    `text` is the whole caption: its marks tell more than its words.
    """
    other, given = mirrored(text), " ".join(words)
    if other is None:
        return None
    if list(caption_words(text)) == list(words):
        return list(caption_words(other))
    spelt = mirrored(given)
    # Cut by another program: blanks between characters may hide a word from the rules.
    same = spelt is not None and re.sub(r"\W", "", spelt) == re.sub(r"\W", "", other.lower())
    return spelt.split(" ") if spelt is not None and same else None


def _exchange(found: re.Match[str]) -> str:
    """The opposite of an English word, with capitals as they were."""
    word = found[0]
    other = _OPPOSITE[word.lower()]
    return other.upper() if word.isupper() else other.title() if word[0].isupper() else other


def _is_side(tokens: list[str], place: int) -> bool:
    """Whether "left" or "right" at a place of a sentence is surely a side."""
    word, around = tokens[place], ["", "", *tokens, "", ""]
    _, before, _, after, later = around[place : place + 5]
    alone = all(token in _STOPS for token in tokens[:place] + tokens[place + 1 :])
    if alone or _beside_its_opposite(tokens, place):
        return True
    # "Right side up" and "right of way"; "the right side of the road" may be the correct one.
    not_side = later == "up" or (after, later) == ("of", "way")
    not_side |= after in ("side", "hand", "lane") and not _TRAFFIC.isdisjoint(tokens)
    if word == "right" and not_side:
        return False
    of_something = after == "of" and before not in _REMAINS
    if after in _SIDES or of_something or (before in (",", "(") and after in (",", ")")):
        return True
    return _is_left(around, place + 2) if word == "left" else _is_right(around, place + 2)


def _beside_its_opposite(tokens: list[str], place: int) -> bool:
    """Whether it is joined to the other side, as in "left and right" or "from left to right"."""
    for way in (1, -1):
        between: list[str] = []
        for token in tokens[place + way :: way]:
            if token == _OPPOSITE[tokens[place]]:
                return bool(_LINKS.intersection(between))
            if token not in _BETWEEN:
                break
            between.append(token)
    return False


def _is_left(around: list[str], place: int) -> bool:
    """Whether a "left" is a side by the word before it, and not a verb or a rest."""
    earlier, before, after = around[place - 2], around[place - 1], around[place + 1]
    if before in _OWNERS:
        return after not in _GONE or (after in ("the", "a", "an") and earlier in _PREPOSITIONS)
    if before in ("s", "'"):  # of an owner, where it is not "is" or "has"
        owner = around[place - 3] if before == "s" else earlier
        return owner not in _NOT_OWNERS and after not in _GONE
    return before in (_PLACES | _DEPTHS | _DIRECTED | {"in"}) and after not in _GONE


def _is_right(around: list[str], place: int) -> bool:
    """Whether a "right" is a side by the words around it, and neither correct nor an adverb."""
    earlier, before, after = around[place - 2], around[place - 1], around[place + 1]
    ends = after in _STOPS
    if before in _OWNERS or before in ("s", "'"):
        if before == "s" and around[place - 3] in _NOT_OWNERS:
            return False
        if before == "the" and earlier not in _PREPOSITIONS:
            return False
        return ends or (earlier in _PREPOSITIONS and (after in _GOES_ON or after.endswith("ing")))
    if before in _PLACES:
        return after not in _CORRECT
    if before in _DEPTHS:
        return ends
    way = before in _DIRECTED and before not in ("look", "looks", "looked", "go", "goes")
    return way and (ends or after in ("and", "or", "of", "is", "are"))
