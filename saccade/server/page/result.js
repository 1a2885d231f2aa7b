// What one run made of an image, as a card: answer or caption, shares, and the map.

import { make } from "./dom.js";
import { mapFigure } from "./map.js";
import { percent, text } from "./words.js";

/** The card of a run: busy, refused, or with its answer. `again` asks once more. */
export function resultCard({ run, outcome, question, picture, again, announce }) {
  const head = make("h3", {}, run.name, make("small", {}, text(`task_${run.task}`)));
  const card = make("article", { className: "card result" }, head);
  if (!outcome) card.append(make("p", { className: "busy" }, text("busy")));
  else if (outcome.refusal) card.append(refusalNote(outcome.refusal, again));
  else card.append(...contents(run, outcome, question, picture, announce));
  return card;
}

/** A refusal as a sentence of this page, with what the server wrote about it. */
export function refusalNote(refusal, again) {
  const sentence = text(refusal.kind, { ...refusal, ...refusal.values });
  const detail = [refusal.detail, refusal.hint].filter(Boolean).join(". ").replace(/\.\. /g, ". ");
  const button = again && make("button", { type: "button", className: "plain again" }, text("again"));
  button?.addEventListener("click", again);
  const written = detail && make("span", { className: "detail", lang: "en" }, detail);
  return make("div", { className: "note" }, make("p", {}, sentence, written && " ", written || null), button);
}

/** One line that says the outcome, for a screen reader and for the history. */
export function inWords(run, outcome) {
  const { result } = outcome;
  if (run.task === "caption") return text("caption_known", { run: run.name, caption: captionOf(result) });
  const share = percent(result.top[0].probability);
  return text("answer_known", { run: run.name, answer: result.text, share });
}

/** The words of a caption; a model may have found none. */
const captionOf = (result) => result.text || text("caption_empty");

function contents(run, outcome, question, picture, announce) {
  const { result, grid, size, mapRefusal } = outcome;
  const caption = run.task === "caption";
  const side = make("div", {}, caption ? captionSide(result) : answerSide(result, question));
  const mapSide = make("div", { className: "map-side" });
  if (result.maps?.length) {
    const { figure, choice } = mapFigure({ result, grid, picture, size, caption, announce });
    // A caption is read there; a glimpse is no word of an answer.
    if (caption) side.append(choice);
    else figure.querySelector(".scale").after(choice);
    mapSide.append(figure);
    if (run.faithfulness) mapSide.append(make("p", { className: "about", lang: "en" }, run.faithfulness));
  } else mapSide.append(make("p", { className: "about" }, noMap(mapRefusal)));
  return [make("div", { className: "sides" }, side, mapSide)];
}

function noMap(refusal) {
  if (!refusal) return text("map_absent");
  return text("map_refused", { reason: [refusal.detail, refusal.hint].filter(Boolean).join(". ") });
}

function captionSide(result) {
  return [
    make("p", { className: "answer", lang: "" }, make("b", {}, captionOf(result))),
    make("p", { className: "about" }, text("beam", { value: result.log_probability.toFixed(2) })),
  ];
}

function answerSide(result, question) {
  const share = percent(result.top[0].probability);
  return [
    make("p", { className: "asked" }, marked(question, result.unknown)),
    make("p", { className: "answer" }, make("b", { lang: "" }, result.text), " ", make("span", { className: "quiet" }, share)),
    result.unknown.length
      ? make("p", { className: "note" }, text("unknown", { words: result.unknown.join(", ") }))
      : null,
    bars(text("answers"), result.top, "ours"),
    result.prior ? bars(text("prior"), result.prior, "", text("prior_about")) : null,
  ];
}

/** A list of answers with bars as long as their shares. */
function bars(title, answers, kind, about) {
  const rows = answers.map(({ answer, probability }) =>
    make(
      "li",
      { className: `bar ${kind}` },
      make("span", { lang: "" }, answer),
      make("span", { "aria-hidden": "true" }, make("i", { style: { width: `${100 * probability}%` } })),
      make("span", { className: "text" }, percent(probability)),
    ),
  );
  const note = about && make("p", { className: "about" }, about);
  return make("section", { className: "bars" }, make("h4", {}, title), note || null, make("ul", {}, rows));
}

/** The question with the words marked that the model never learnt. */
function marked(question, unknown) {
  const words = unknown.map((one) => one.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  if (!words.length) return question;
  const whole = new RegExp(`(?<![\\p{L}\\p{N}])(${words.join("|")})(?![\\p{L}\\p{N}])`, "giu");
  return question
    .split(whole)
    .map((part, at) => (at % 2 ? make("mark", { title: text("unknown_mark") }, part) : part));
}
