"""The page of `saccade serve` in Chromium: every flow by clicks and keys, against the real server.

Refusals that a healthy server does not give are put in its place for one request.
"""

import base64
import io
import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="saccade[serve] is not installed")
pytest.importorskip("uvicorn", reason="saccade[serve] is not installed")

from saccade.server.security import Token
from saccade.viz.attention import heat_map, overlay
from tests.browser.image_samples import an_image, upload
from tests.servers import make_service, running

SHOTS = Path(__file__).parent / "screenshots"
"""Git ignores them; they are there to be looked at."""
MAP = "canvas[data-shown]:not([data-shown=''])"
WORDS = json.loads(
    (Path(__file__).parents[2] / "saccade/server/page/words.json").read_text(encoding="utf-8")
)
LONG = {"timeout": 60_000}


def choose(page, first, second=""):
    page.select_option("#first", first)
    if page.is_visible("#second"):
        page.select_option("#second", second)


def send(page):
    """Press the button; what the server answered, a reply for each run."""
    replies = []
    page.on("response", lambda one: replies.append(one) if "/v1/" in one.url else None)
    page.click("#send")
    page.wait_for_selector("#results[aria-busy=false] .result", **LONG)
    return [one.json() for one in replies]


def asked(page, first="answers", second="", question="what is red?"):
    """Give an image, choose runs, ask; what the server answered."""
    page.set_input_files("#file", upload())
    choose(page, first, second)
    if page.is_visible("#question"):
        page.fill("#question", question)
    return send(page)


def answered(page, *given, **words):
    """The same, until the map is there."""
    replies = asked(page, *given, **words)
    page.wait_for_selector(MAP)
    return replies


def shown_percents(page, selector):
    return [float(text.strip("<>%")) for text in page.locator(selector).all_text_contents()]


def pixels(page, selector="canvas"):
    address = page.eval_on_selector(selector, "one => one.toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


DROP = """([name, kind, content, on]) => {
  const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: kind }));
  const given = { bubbles: true, cancelable: true };
  document.body.dispatchEvent(
    on === "drop"
      ? new DragEvent("drop", { ...given, dataTransfer: transfer })
      : new ClipboardEvent("paste", { ...given, clipboardData: transfer }),
  );
}"""


class TestGivingAnImage:
    def test_every_way(self, open_page):
        page = open_page()
        for way in ("file", "camera", "drop", "paste"):
            name = f"{way}.png"
            if way in {"file", "camera"}:
                page.set_input_files(f"#{way}", upload(name))
            else:
                content = base64.b64encode(an_image()).decode()
                page.evaluate(DROP, [name, "image/png", content, way])
            page.wait_for_selector(f"#shown[alt*='{name}']:not([hidden])")
            width = "one => one.decode().then(() => one.naturalWidth)"
            assert page.eval_on_selector("#shown", width) == 96
            assert name in page.text_content("#status")

    def test_the_camera_of_a_phone_is_offered_where_there_is_one(self, open_page):
        phone = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
        assert phone.is_visible(".camera")
        assert phone.get_attribute("#camera", "capture") == "environment"
        assert not open_page().is_visible(".camera")

    def test_what_is_no_image_is_told_at_once(self, open_page):
        page = open_page()
        for file in (upload("a.txt", "text/plain", b"text"), upload("none.png", content=b"")):
            page.set_input_files("#file", file)
            page.wait_for_selector(f"#refusal >> text={file['name']}")
            assert not page.is_visible("#shown")

    def test_what_only_calls_itself_an_image_is_told_by_the_server(self, open_page):
        page = open_page()
        page.set_input_files("#file", upload(content=b"no image at all"))
        page.fill("#question", "what is red?")
        (reply, *_) = send(page)
        assert reply["error"]["message"] in page.text_content(".result .note")

    def test_a_format_that_only_the_server_reads_is_asked_about_on_grey(self, open_page):
        page = open_page()
        page.set_input_files("#file", upload("disc.tif", "image/tiff", an_image(kind="TIFF")))
        page.fill("#question", "what is red?")
        (reply,) = send(page)
        page.wait_for_selector(MAP)
        height, width, _ = pixels(page).shape
        assert width / height == pytest.approx(
            reply["image"]["width"] / reply["image"]["height"], 0.01
        )
        assert WORDS["en"]["not_shown"] in page.text_content(".result")

    def test_without_image_or_question_a_sentence_says_so(self, open_page):
        page = open_page()
        page.click("#send")
        assert page.text_content("#refusal p") == WORDS["en"]["no_image"]
        page.click(".example >> nth=1")
        page.wait_for_selector("#shown:not([hidden])")
        page.click("#send")
        assert page.text_content("#refusal p") == WORDS["en"]["no_question"]
        assert page.evaluate("document.activeElement.id") == "question"


class TestAnswers:
    def test_shares_are_the_servers(self, open_page):
        page = open_page()
        (reply,) = answered(page)
        (answer,) = reply["answers"]
        assert page.text_content(".result .answer b") == answer["text"]
        shares = [100 * one["probability"] for one in answer["top"]]
        assert shown_percents(page, ".bar.ours .text") == pytest.approx(shares, abs=0.51)
        bars = page.eval_on_selector_all(
            ".bar.ours i",
            "all => all.map((one) => one.offsetWidth / one.parentElement.offsetWidth)",
        )
        assert bars == pytest.approx([one["probability"] for one in answer["top"]], abs=0.03)

    def test_the_answer_without_the_image(self, open_page):
        page = open_page()
        (reply,) = answered(page, "prior")
        prior = [100 * one["probability"] for one in reply["answers"][0]["prior"]]
        assert shown_percents(page, ".bar:not(.ours) .text") == pytest.approx(prior, abs=0.51)

    def test_words_that_it_never_learnt_are_marked(self, open_page):
        page = open_page()
        (reply,) = answered(page, question="What is the glorp, glorpy (red) <b>thing</b>?")
        unknown = reply["answers"][0]["unknown"]
        assert "glorpy" in unknown
        assert set(page.locator("mark").all_text_contents()) == set(unknown)
        assert page.text_content(".asked") == "What is the glorp, glorpy (red) <b>thing</b>?"

    def test_a_question_of_unknown_words_alone_is_refused_in_a_sentence(self, open_page):
        page = open_page()
        page.set_input_files("#file", upload())
        page.fill("#question", "glorp?")
        (reply, *_) = send(page)
        assert reply["error"]["message"] in page.text_content(".result .note")

    def test_warnings_of_the_training_stand_beside_the_run(self, open_page):
        page = open_page()
        choose(page, "answers")
        assert "40 times its mean" in page.text_content("#first-about .findings")
        choose(page, "captions")
        assert not page.query_selector("#first-about .findings")

    def test_two_runs_side_by_side(self, open_page):
        page = open_page()
        replies = answered(page, "answers", "captions")
        assert {reply["run"] for reply in replies} == {"answers", "captions"}
        assert page.text_content(".result h3") == "answers" + WORDS["en"]["task_vqa"]
        first, second = (one.bounding_box() for one in page.locator(".result").all())
        assert first["y"] == second["y"]
        assert first["x"] + first["width"] <= second["x"]


class TestMaps:
    def test_pointer_finger_and_keys_move_over_the_words(self, open_page):
        page = open_page(has_touch=True)
        (reply,) = answered(page, "captions")
        words = [one["label"] for one in reply["caption"]["maps"]]
        chips = page.locator(".chip")
        assert chips.count() == len(words) + 1
        shown = lambda: page.get_attribute("canvas", "data-shown")  # noqa: E731
        first = shown()
        last = str(len(words) - 1) if first != str(len(words) - 1) else "0"
        before = pixels(page)
        chips.nth(int(last)).hover()
        assert shown() == last
        assert (pixels(page) != before).any()
        assert words[int(last)] in page.get_attribute("canvas", "aria-label")
        page.mouse.move(1, 1)
        assert shown() == first, "the pointer only looks"
        chips.nth(0).tap()
        assert shown() == "0"
        page.keyboard.press("ArrowLeft")
        assert shown() == "-1"
        assert (pixels(page)[:2] != before[:2]).any()
        page.keyboard.press("ArrowRight")
        assert shown() == "0"
        assert words[0] in page.text_content("#status")

    def test_every_word_tells_the_sentinels_share(self, open_page):
        page = open_page()
        (reply,) = answered(page, "captions")
        shares = [100 * one["sentinel"] for one in reply["caption"]["maps"]]
        assert shown_percents(page, ".chip small") == pytest.approx(shares, abs=0.51)

    def test_the_table_tells_what_the_map_shows(self, open_page):
        page = open_page()
        (reply,) = answered(page, "answers")
        page.click("summary")
        maps, (_, columns) = reply["answers"][0]["maps"], reply["grid"]
        assert page.locator("details tbody tr").count() == len(maps)
        top = int(np.argmax(maps[0]["weights"]))
        place = page.text_content("details tbody tr:first-child td div:first-child")
        assert place.startswith(f"row {top // columns + 1}, column {top % columns + 1} ")
        share = float(re.search(r"([\d.]+)%$", place)[1])
        assert share == pytest.approx(100 * max(maps[0]["weights"]), abs=0.51)

    def test_regions_without_a_grid_are_boxes_with_edges(self, open_page):
        page = open_page()
        (reply,) = answered(page, "boxes")
        assert reply["grid"] is None
        page.click("summary")
        assert "from" in page.text_content("details tbody td div")
        boxes = pixels(page)
        (reply,) = answered(page, "answers")
        assert (pixels(page) != boxes).any()

    def test_heat_and_overlay_are_those_of_the_figures(self, open_page):
        """The oracle is the code that draws the project's figures."""
        page, draw = open_page(), np.random.default_rng(3)
        width, height = 28, 20
        corners = np.sort(draw.random((12, 2, 2)), axis=1).reshape(12, 4)
        grid = [[c / 4, r / 3, (c + 1) / 4, (r + 1) / 3] for r in range(3) for c in range(4)]
        image = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        rgba = np.dstack([image, np.full((height, width), 255, np.uint8)])
        for boxes, smooth in product((corners.tolist(), grid), (True, False)):
            weights = (draw.random(12) ** 4).tolist()
            heat, mixed = page.evaluate(
                """async ([weights, boxes, width, height, smooth, pixels]) => {
                  const { heatOf, overlay } = await import("/page/overlay.js");
                  const heat = heatOf(weights, boxes, width, height, smooth);
                  return [[...heat], [...overlay(pixels, heat)]];
                }""",
                [weights, boxes, width, height, smooth, rgba.ravel().tolist()],
            )
            expected = heat_map(weights, boxes, height, width, smooth)
            np.testing.assert_allclose(np.reshape(heat, (height, width)), expected, atol=2e-5)
            drawn = np.reshape(mixed, (height, width, 4))[..., :3].astype(int)
            # The page has every 15th of the colours and draws lines between them.
            assert np.abs(drawn - overlay(image, expected).astype(int)).max() <= 5


REFUSED = {
    429: ("refused_busy", {"Retry-After": "7"}),
    413: ("refused_large", {}),
    503: ("refused_slow", {}),
    422: ("refused_other", {}),
    500: ("refused_broken", {}),
}


def reply_with(**reply):
    """What is given to `page.route` to have a reply in place of the server's."""
    return lambda route: route.fulfill(**reply)


class TestRefusals:
    def test_a_refusal_is_a_sentence_and_can_be_tried_again(self, open_page):
        page = open_page()
        error = {"message": "it is <i>so</i>", "hint": "Do that.", "location": None}
        for status, (key, headers) in REFUSED.items():
            page.route("**/v1/*", reply_with(status=status, headers=headers, json={"error": error}))
            asked(page)
            note = page.text_content(".result .note")
            assert note.startswith(WORDS["en"][key].format(seconds=7, status=status))
            assert "it is <i>so</i>" in note, "what a server writes is text"
            assert "Do that." in note
            page.unroute("**/v1/*")
        page.click(".again")
        page.wait_for_selector(MAP)

    def test_a_server_that_is_gone(self, open_page):
        page = open_page()
        page.route("**/v1/*", lambda route: route.abort())
        page.set_input_files("#file", upload())
        page.fill("#question", "what is red?")
        page.click("#send")
        page.wait_for_selector(".result .again")
        assert page.text_content(".result .note p") == WORDS["en"]["refused_network"]

    def test_a_map_that_cannot_be_made_leaves_the_answer(self, open_page):
        page = open_page()
        error = {"message": "the image is one region", "hint": None, "location": "run"}
        page.route("**/v1/explain", reply_with(status=422, json={"error": error}))
        asked(page)
        assert page.text_content(".result .answer b")
        assert "the image is one region" in page.text_content(".map-side")
        assert not page.query_selector("canvas")

    def test_what_takes_long_can_be_stopped(self, open_page):
        page = open_page()
        page.route("**/v1/explain", lambda route: None)
        page.set_input_files("#file", upload())
        page.fill("#question", "what is red?")
        page.keyboard.press("Enter")
        page.wait_for_selector(".busy")
        assert page.get_attribute("#results", "aria-busy") == "true"
        assert page.text_content("#status") == WORDS["en"]["busy"]
        page.keyboard.press("Escape")
        assert not page.query_selector(".busy")
        assert not page.is_visible("#stop")
        assert page.text_content("#status") == WORDS["en"]["stopped"]

    def test_a_token(self, open_page, runs):
        token = "correct-horse-battery"
        service = make_service({"prior": runs["prior"]})
        with running(service, token=Token(None, token)) as server:
            page = open_page(server.address, ready=False)
            page.wait_for_selector("#entry:not([hidden])")
            assert page.evaluate("document.activeElement.id") == "token"
            page.keyboard.type("a-wrong-token-of-mine")
            page.keyboard.press("Enter")
            page.wait_for_selector(f"text={WORDS['en']['refused_token']}")
            page.fill("#token", token)
            page.keyboard.press("Enter")
            page.wait_for_selector("#first option", state="attached")
            assert not page.is_visible("#entry")
            assert answered(page, "prior")[0]["answers"]

            given = open_page(f"{server.address}#token={token}")
            assert token not in given.url
            assert not given.is_visible("#entry")
            given.reload()
            given.wait_for_selector("#first option", state="attached")


class TestTheWholePage:
    def test_by_the_keyboard_alone(self, open_page):
        """From the address line to an answer, another map, and the history, without a pointer."""
        page = open_page()

        def focus():
            return page.evaluate("document.activeElement.id || document.activeElement.className")

        def tab_to(wanted, most=30):
            for _ in range(most):
                page.keyboard.press("Tab")
                assert page.evaluate(VISIBLE_FOCUS), f"nobody sees where the focus is: {focus()}"
                if wanted in focus():
                    return
            raise AssertionError(f"no way to {wanted}")

        tab_to("skip")
        tab_to("language")
        tab_to("file")
        tab_to("example")
        page.keyboard.press("Enter")
        page.wait_for_selector("#shown:not([hidden])")
        tab_to("question")
        page.keyboard.type("what is red?")
        page.keyboard.press("Enter")
        page.wait_for_selector(MAP)
        assert "answers:" in page.text_content("#status")
        before = page.get_attribute("canvas", "data-shown")
        tab_to("unseen")
        page.keyboard.press("ArrowRight")
        assert page.get_attribute("canvas", "data-shown") != before
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.is_visible("details table")

    def test_history_is_opened_again_and_forgotten(self, open_page):
        page = open_page()
        answered(page, question="what is red?")
        answered(page, "captions")
        assert page.locator("#entries li").count() == 2
        page.focus("#entries li:last-child button")
        page.keyboard.press("Enter")
        assert page.input_value("#question") == "what is red?"
        assert page.text_content(".result .asked") == "what is red?"
        assert page.evaluate("document.activeElement.id") == "results"
        stored = page.evaluate("JSON.stringify({ ...sessionStorage, ...localStorage })")
        assert "red" not in stored
        page.click("#forget")
        assert not page.is_visible("#history")

    def test_the_language_is_the_browsers_until_it_is_switched(self, open_page):
        page = open_page(locale="zh-CN")
        assert page.get_attribute("html", "lang") == "zh-Hans"
        assert page.text_content("h1") == WORDS["zh"]["title"]
        answered(page)
        page.focus("#language")
        page.keyboard.press("Enter")
        assert page.text_content("h1") == WORDS["en"]["title"]
        assert page.text_content(".map figcaption") == WORDS["en"]["map"]
        page.reload()
        assert page.text_content("h1") == WORDS["en"]["title"]
        assert open_page(locale="fr-FR").get_attribute("html", "lang") == "en"

    @pytest.mark.parametrize("width", [1280, 390])
    def test_nothing_is_wider_than_the_window_and_axe_finds_nothing(self, open_page, axe, width):
        page = open_page(viewport={"width": width, "height": 844}, script=axe)
        for step in ("empty", "full"):
            if step == "full":
                answered(page, "answers", "captions", "what glorp is red?")
                page.set_input_files("#file", upload("a.txt", "text/plain", b"text"))
            for _ in ("en", "zh"):
                for scheme in ("light", "dark"):
                    page.emulate_media(color_scheme=scheme)
                    name = f"{step}-{width}-{page.get_attribute('html', 'lang')}-{scheme}"
                    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
                    over = "document.documentElement.scrollWidth - innerWidth"
                    assert page.evaluate(over) <= 0, name
                    assert findings_of_axe(page) == [], name
                page.click("#language")


VISIBLE_FOCUS = """() => {
  const one = document.activeElement;
  const marked = [one, ...[one.closest("label")].filter(Boolean)];
  return marked.some((at) => getComputedStyle(at).outlineStyle !== "none");
}"""


def findings_of_axe(page):
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        (one["id"], one["impact"], [node["target"] for node in one["nodes"]][:3])
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]
