// The page: what is chosen and what was answered (`state`), drawn anew when either changes.

import { Refusal, predict, runs as fetchRuns, tokenFromAddress, useToken } from "./api.js";
import { byId, make } from "./dom.js";
import { draw, names } from "./examples.js";
import { fileOf, fromDrawing, fromFile } from "./image.js";
import { inWords, refusalNote, resultCard } from "./result.js";
import { aboutRun, fillChoices } from "./runs.js";
import * as words from "./words.js";

const { text } = words;
const REMEMBERED = 24; // entries of the history; images are heavy

const state = {
  runs: [],
  chosen: ["", ""],
  image: null,
  refusal: null,
  /** {image, question, asked: [{run, outcome}]} that is shown, and those before it. */
  shown: null,
  history: [],
  /** Stops the requests that are under way. */
  stop: null,
};

const chosenRuns = () => state.chosen.map((name) => state.runs.find((run) => run.name === name)).filter(Boolean);
const asks = () => chosenRuns().some((run) => run.task === "vqa");
const announce = (sentence) => (byId("status").textContent = sentence);

async function loadRuns() {
  refuse(null);
  announce(text("busy_runs"));
  try {
    state.runs = await fetchRuns();
    const names = state.runs.map((run) => run.name);
    state.chosen = state.chosen.map((name) => (names.includes(name) ? name : ""));
    state.chosen[0] ||= names[0] ?? "";
    byId("entry").hidden = true;
    if (!names.length) refuse(new Refusal("no_runs"));
    announce("");
  } catch (refusal) {
    refuse(refusal, loadRuns);
  }
  drawDesk();
}

/** Tell a refusal above everything; null takes it away. `again` is offered where it may help. */
function refuse(refusal, again) {
  if (refusal && !(refusal instanceof Refusal)) throw refusal;
  state.refusal = refusal && { refusal, again };
  drawRefusal();
  if (!isAboutToken(refusal)) return;
  byId("entry").hidden = false;
  byId("token").focus();
}

const isAboutToken = (refusal) => ["refused_token", "token_missing"].includes(refusal?.kind);

function drawRefusal() {
  const { refusal, again } = state.refusal ?? {};
  const retry = isAboutToken(refusal) ? undefined : again;
  byId("refusal").replaceChildren(...(refusal ? [refusalNote(refusal, retry)] : []));
}

async function takeImage(promise) {
  try {
    state.image = await promise;
    refuse(null);
    announce(text("image_named", state.image));
  } catch (refusal) {
    refuse(refusal);
  }
  drawImage();
}

async function send() {
  if (!state.image) return refuse(new Refusal("no_image"));
  const question = byId("question").value.trim();
  if (asks() && !question) {
    refuse(new Refusal("no_question"));
    return byId("question").focus();
  }
  refuse(null);
  const asked = chosenRuns().map((run) => ({ run, outcome: null }));
  await fetchOutcomes({ image: state.image, question: asks() ? question : "", asked });
}

/** Ask all runs of an entry that have no outcome yet, side by side. */
async function fetchOutcomes(entry) {
  state.stop?.abort();
  const stop = new AbortController();
  state.stop = stop;
  state.shown = entry;
  drawDesk();
  drawResults();
  announce(text("busy"));
  bringIntoView(byId("results"));
  const waiting = entry.asked.filter((one) => !one.outcome);
  await Promise.all(waiting.map((one) => fetchOutcome(entry, one, stop)));
  if (state.stop !== stop) return; // stopped, or something else was asked meanwhile
  state.stop = null;
  remember(entry);
  drawDesk();
  announce(entry.asked.map(({ run, outcome }) => outcome.refusal ? "" : inWords(run, outcome)).join(" "));
}

/** Scroll to an element whose beginning is not in the upper part of the window. */
function bringIntoView(element) {
  const { top } = element.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) element.scrollIntoView();
}

async function fetchOutcome(entry, one, stop) {
  try {
    one.outcome = await predict(one.run, entry.image, entry.question, stop.signal);
  } catch (refusal) {
    if (refusal.name === "AbortError") return;
    one.outcome = { refusal };
    if (!(refusal instanceof Refusal)) throw refusal;
    if (isAboutToken(refusal)) refuse(refusal);
  }
  if (state.shown === entry) drawResults();
}

function stopAsking() {
  if (!state.stop) return;
  state.stop.abort();
  state.stop = state.shown = null;
  drawDesk();
  drawResults();
  announce(text("stopped"));
}

function remember(entry) {
  if (entry.asked.some(({ outcome }) => outcome.refusal) || state.history.includes(entry)) return;
  state.history.unshift(entry);
  for (const { image } of state.history.splice(REMEMBERED)) free(image);
  drawHistory();
}

/** Give an image's memory back once nothing shows it. */
function free(image) {
  const used = [state, state.shown, ...state.history].some((one) => one?.image === image);
  if (!used) URL.revokeObjectURL(image.url);
}

function forget() {
  const images = new Set(state.history.map((entry) => entry.image));
  state.history = [];
  images.forEach(free);
  drawHistory();
  announce(text("forgotten"));
  byId("results").focus();
}

function reopen(entry) {
  Object.assign(state, { image: entry.image, shown: entry });
  state.chosen = [entry.asked[0].run.name, entry.asked[1]?.run.name ?? ""];
  byId("question").value = entry.question;
  drawEverything();
  byId("results").focus();
}

function drawEverything() {
  words.fillPage();
  const other = words.other();
  Object.assign(byId("language"), { textContent: words.nameOf(other), lang: other });
  drawRefusal();
  drawExamples();
  drawImage();
  drawDesk();
  drawResults();
  drawHistory();
}

function drawExamples() {
  const buttons = names.map((name) => {
    const label = text(`example_${name}`);
    const image = make("img", { src: draw(name).toDataURL(), alt: "", width: 64, height: 64 });
    const button = make("button", { type: "button", className: "example" }, image, label);
    button.addEventListener("click", () => takeImage(fromDrawing(name)));
    return button;
  });
  byId("examples").replaceChildren(...buttons);
}

function drawImage() {
  const { image } = state;
  byId("invitation").hidden = Boolean(image);
  byId("shown").hidden = !image;
  if (!image) return;
  const source = image.picture ? image.url : "";
  if (byId("shown").getAttribute("src") !== source) byId("shown").src = source;
  byId("shown").alt = text("image_named", image);
}

function drawDesk() {
  fillChoices(state.runs, state.chosen);
  const [first, second] = state.chosen.map((name) => state.runs.find((run) => run.name === name));
  byId("first-about").replaceChildren(...aboutRun(first));
  byId("second-about").replaceChildren(...aboutRun(second));
  byId("asking").hidden = !asks();
  const captions = chosenRuns().some((run) => run.task === "caption");
  byId("send").textContent = text(asks() ? (captions ? "send_both" : "send_vqa") : "send_caption");
  byId("stop").hidden = !state.stop;
  byId("results").setAttribute("aria-busy", Boolean(state.stop));
}

/** The cards that are drawn, of which a second outcome must not reset the first. */
let drawn = { entry: null, language: "", cards: new Map() };

function drawResults() {
  const section = byId("results");
  const { shown } = state;
  if (!shown) return section.replaceChildren(make("p", { className: "empty" }, text("results_none")));
  if (drawn.entry !== shown || drawn.language !== words.current()) {
    drawn = { entry: shown, language: words.current(), cards: new Map() };
  }
  const cards = shown.asked.map((one) => {
    const known = drawn.cards.get(one);
    const card = known?.outcome === one.outcome ? known.card : newCard(one);
    drawn.cards.set(one, { card, outcome: one.outcome });
    return card;
  });
  section.replaceChildren(make("h2", {}, text("results")), make("div", { className: "cards-of-runs" }, cards));
}

function newCard(one) {
  const entry = state.shown;
  const again = () => {
    one.outcome = null;
    fetchOutcomes(entry);
  };
  return resultCard({ ...one, question: entry.question, picture: entry.image.picture, again, announce });
}

function drawHistory() {
  byId("history").hidden = !state.history.length;
  const items = state.history.map((entry) => {
    const label = entry.question || entry.image.name;
    const image = make("img", { src: entry.image.picture ? entry.image.url : "", alt: "", loading: "lazy" });
    const answers = make("small", {}, entry.asked.map(({ run, outcome }) => make("span", {}, inWords(run, outcome))));
    const button = make("button", { type: "button" }, image, make("span", {}, label), answers);
    button.addEventListener("click", () => reopen(entry));
    return make("li", {}, button);
  });
  byId("entries").replaceChildren(...items);
}

function listen() {
  const on = (id, kind, then) => byId(id).addEventListener(kind, then);
  const form = (id, then) => on(id, "submit", (event) => (event.preventDefault(), then()));
  form("desk", send);
  form("entry", () => {
    useToken(byId("token").value.trim());
    loadRuns();
  });
  for (const id of ["file", "camera"]) {
    on(id, "change", ({ target }) => {
      if (target.files[0]) takeImage(fromFile(target.files[0]));
      target.value = ""; // so that the same file can be chosen again
    });
  }
  ["first", "second"].forEach((id, place) =>
    on(id, "change", ({ target }) => {
      state.chosen[place] = target.value;
      drawDesk();
    }),
  );
  on("stop", "click", stopAsking);
  on("forget", "click", forget);
  on("language", "click", () => {
    words.choose(words.other());
    drawEverything();
  });
  listenToPage();
}

function listenToPage() {
  document.addEventListener("keydown", (event) => event.key === "Escape" && stopAsking());
  document.addEventListener("paste", (event) => {
    const file = fileOf(event.clipboardData);
    if (file) takeImage(fromFile(file));
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    byId("place").classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) byId("place").classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    byId("place").classList.remove("over");
    const file = fileOf(event.dataTransfer);
    if (file) takeImage(fromFile(file));
  });
}

tokenFromAddress();
listen();
drawEverything();
loadRuns();
