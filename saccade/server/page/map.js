// The maps of one result over its image: a canvas, the words or glimpses that choose the map, and
// the same as a table.

import { make } from "./dom.js";
import { heatOf, outline, overlay, ranked } from "./overlay.js";
import { percent, text } from "./words.js";

const FADE = 160; // milliseconds from one map to the next
const LONGEST = 720; // pixels of the canvas
const IMAGE_ONLY = -1;

let figures = 0;

/**
 * A figure that shows the maps of a result, and the choice among them; `announce` tells a screen
 * reader of another map.
 */
export function mapFigure({ result, grid, picture, size, caption, announce }) {
  const { maps, boxes } = result;
  const labels = maps.map((one, at) => labelOf(one, at, caption));
  const canvas = make("canvas", { role: "img", ...canvasSize(picture, size) });
  const show = drawer(canvas, picture, maps, boxes, grid !== null);
  const first = ranked(maps.map((one) => Math.max(...one.weights)))[0];
  const hidden = maps[0].kind === "occlusion";

  const describe = (at) =>
    at === IMAGE_ONLY
      ? text("map_plain")
      : text("map_of", { label: labels[at], places: placesOf(maps[at], boxes, grid, 1)[0] });
  const present = (at) => {
    show(at);
    canvas.setAttribute("aria-label", describe(at));
  };
  const legend = caption ? "map_choice_words" : hidden ? "table_label" : "map_choice_glimpses";
  const choice = make(
    "div",
    {},
    chipsOf(labels, maps, first, legend, present, (at) => announce(describe(at))),
    maps.some((one) => one.sentinel !== null)
      ? make("p", { className: "about" }, text("sentinel_about"))
      : null,
  );
  present(first);
  const figure = make(
    "figure",
    { className: "map" },
    make("figcaption", {}, text(hidden ? "map_occlusion" : "map")),
    canvas,
    scale(),
    picture ? null : make("p", { className: "about" }, text("not_shown")),
    hidden ? make("p", { className: "about" }, text("occlusion_about")) : null,
    make("p", { className: "about" }, text("honest")),
    table(labels, maps, boxes, grid),
  );
  return { figure, choice };
}

function labelOf(map, at, caption) {
  if (caption) return map.label;
  return map.kind === "occlusion" ? text("map_hiding") : text("map_glimpse", { number: at + 1 });
}

function canvasSize(picture, size) {
  if (picture) return { width: picture.width, height: picture.height };
  const scaling = LONGEST / Math.max(size.width, size.height);
  const side = (one) => Math.max(Math.round(one * scaling), 1);
  return { width: side(size.width), height: side(size.height) };
}

/** A function that shows a map, fading over from the one before. */
function drawer(canvas, picture, maps, boxes, smooth) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#8b8f99";
  context.fillRect(0, 0, width, height);
  if (picture) context.drawImage(picture, 0, 0);
  const plain = context.getImageData(0, 0, width, height);
  const heats = new Map();
  let shown = { heat: new Float32Array(width * height), strength: 0 };
  let frame = 0;

  const heatAt = (at) => {
    if (!heats.has(at)) heats.set(at, heatOf(maps[at].weights, boxes, width, height, smooth));
    return heats.get(at);
  };
  const paint = ({ heat, strength }) => {
    const mixed = overlay(plain.data, heat, strength);
    context.putImageData(new ImageData(mixed, width, height), 0, 0);
  };
  return (at) => {
    cancelAnimationFrame(frame);
    const plainly = at === IMAGE_ONLY;
    const from = shown;
    const to = { heat: plainly ? from.heat : heatAt(at), strength: plainly ? 0 : 1 };
    const fade = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : FADE;
    const start = performance.now();
    canvas.dataset.shown = "";
    const step = () => {
      const part = fade ? Math.min((performance.now() - start) / fade, 1) : 1;
      const between = (one, two) => one + part * (two - one);
      shown = part === 1 ? to : {
        heat: to.heat.map((one, pixel) => between(from.heat[pixel], one)),
        strength: between(from.strength, to.strength),
      };
      paint(shown);
      if (part < 1) frame = requestAnimationFrame(step);
      else {
        if (!plainly) outline(context, maps[at].weights, boxes, !smooth);
        canvas.dataset.shown = at;
      }
    };
    step();
  };
}

/** Radio buttons that look like the words: arrow keys, pointer and finger move over them. */
function chipsOf(labels, maps, first, legend, present, announce) {
  const name = `map-${(figures += 1)}`;
  let chosen = first;
  const choose = (at, input) => {
    chosen = at;
    input.checked = true;
    present(at);
  };
  const chips = [...labels.keys(), IMAGE_ONLY].map((at) => {
    const input = make("input", { type: "radio", name, className: "unseen", checked: at === first });
    input.addEventListener("change", () => (choose(at, input), announce(at)));
    const chip = make("label", { className: "chip" }, input, word(at));
    return Object.assign(chip, { map: at });
  });
  const row = make(
    "fieldset",
    { className: "chips" },
    make("legend", {}, text(legend)),
    chips,
  );
  row.addEventListener("pointermove", (event) => {
    const chip = document.elementFromPoint(event.clientX, event.clientY)?.closest(".chip");
    if (!chip || chip.parentElement !== row || row.previewed === chip.map) return;
    row.previewed = chip.map;
    if (event.pointerType === "mouse") present(chip.map);
    else choose(chip.map, chip.querySelector("input"));
  });
  row.addEventListener("pointerleave", () => {
    row.previewed = undefined;
    present(chosen);
  });
  return row;

  function word(at) {
    if (at === IMAGE_ONLY) return make("span", { className: "quiet" }, text("map_none"));
    const { sentinel } = maps[at];
    if (sentinel === null) return make("span", {}, labels[at]);
    const bar = make("i", { className: "sentinel" }, make("i", { style: { width: `${100 * sentinel}%` } }));
    const name = make("span", { className: "unseen" }, ` ${text("sentinel")} `);
    return make("span", {}, labels[at], name, bar, make("small", {}, percent(sentinel)));
  }
}

function scale() {
  return make(
    "p",
    { className: "scale", "aria-hidden": "true" },
    text("scale_little"), make("i"), text("scale_much"),
  );
}

function table(labels, maps, boxes, grid) {
  const sentinel = maps.some((one) => one.sentinel !== null);
  const heads = ["table_label", "table_places", ...(sentinel ? ["table_sentinel"] : [])];
  const rows = maps.map((one, at) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, labels[at]),
      make("td", {}, placesOf(one, boxes, grid, 3).map((place) => make("div", {}, place))),
      sentinel ? make("td", {}, one.sentinel === null ? "" : percent(one.sentinel)) : null,
    ),
  );
  return make(
    "details",
    {},
    make("summary", {}, text("table")),
    make(
      "table",
      {},
      make("thead", {}, make("tr", {}, heads.map((key) => make("th", { scope: "col" }, text(key))))),
      make("tbody", {}, rows),
    ),
  );
}

/** The places with the most weight, in words. */
function placesOf(map, boxes, grid, count) {
  return ranked(map.weights).slice(0, count).map((at) => {
    const [left, top, right, bottom] = boxes[at];
    const third = (one) => Math.min(Math.floor(3 * one), 2);
    const side = text("sides").split("|")[3 * third((top + bottom) / 2) + third((left + right) / 2)];
    const share = percent(map.weights[at]);
    if (grid === null) {
      const [x0, y0, x1, y1] = [left, top, right, bottom].map(percent);
      return text("place_box", { side, left: x0, top: y0, right: x1, bottom: y1, share });
    }
    const [row, column] = [Math.floor(at / grid[1]) + 1, (at % grid[1]) + 1];
    return text("place_cell", { row, column, side, share });
  });
}
