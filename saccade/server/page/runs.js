// The runs of the server: the two choices, and what is told of a run before it is asked.

import { byId, make } from "./dom.js";
import { text } from "./words.js";

/** Scores that are told, in this order, as far as a run has them. */
const SCORES = { accuracy: "accuracy", cider: "CIDEr", bleu_4: "BLEU-4", rouge_l: "ROUGE-L" };

/** Fill both choices, keeping what is chosen. */
export function fillChoices(runs, [first, second]) {
  const option = (run) =>
    make("option", { value: run.name }, `${run.name} · ${text(`task_${run.task}`)}`);
  byId("first").replaceChildren(...runs.map(option));
  byId("second").replaceChildren(make("option", { value: "" }, text("no_second_run")), ...runs.map(option));
  byId("beside").hidden = runs.length < 2;
  byId("first").value = first;
  byId("second").value = second;
}

/** What a run is, how it scored, and what was found wrong with it while it trained. */
export function aboutRun(run) {
  if (!run) return [];
  const sees = run.grid
    ? text("about_grid", { rows: run.grid[0], columns: run.grid[1] })
    : text("about_boxes");
  const parts = [text("about_run", run), run.epoch === null ? "" : text("about_epoch", run), sees, ...scores(run)];
  const about = make("p", { className: "about" }, parts.filter(Boolean).join(" "));
  if (!run.findings.length) return [about];
  const items = run.findings.map((one) => make("li", { lang: "en" }, one));
  const title = make("strong", {}, text("findings"));
  return [about, make("div", { className: "note findings" }, title, make("ul", {}, items))];
}

/** A sentence for each split that was scored. */
function scores(run) {
  return Object.entries(run.scores ?? {}).map(([split, found]) => {
    const told = Object.entries(SCORES)
      .filter(([key]) => typeof found[key] === "number")
      .map(([key, name]) => `${name} ${found[key].toFixed(key === "accuracy" ? 1 : 3)}`);
    return told.length ? text("about_scores", { split, scores: told.join(", ") }) : "";
  });
}
