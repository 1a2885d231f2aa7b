// The image that is asked about: from a file, the clipboard, a camera or a drawing.

import { Refusal } from "./api.js";
import { draw } from "./examples.js";
import { text } from "./words.js";

const SIDE = [480, 720]; // least and most pixels of the copy that maps are drawn on
const DICOM = /\.(dcm|dicom)$/i;

/**
 * A file as `{blob, url, name, picture}`; `picture` is a small canvas, null where this browser
 * cannot read the format: the server may still. Throws a Refusal for what is no image by its type.
 */
export async function fromFile(file) {
  const name = file.name || text("image");
  if (!file.size) throw new Refusal("empty_file", { values: { name } });
  const other = file.type && !file.type.startsWith("image/") && !file.type.endsWith("dicom");
  if (other && !DICOM.test(name)) throw new Refusal("not_an_image", { values: { name } });
  return { blob: file, url: URL.createObjectURL(file), name, picture: await pictureOf(file) };
}

/** A drawing as if it were a file. */
export async function fromDrawing(example) {
  const blob = await new Promise((done) => draw(example).toBlob(done, "image/png"));
  return fromFile(new File([blob], `${example}.png`, { type: "image/png" }));
}

/** The file that was dropped or pasted; null for text and the like. */
export function fileOf(transfer) {
  return [...(transfer?.files ?? [])][0] ?? null;
}

async function pictureOf(blob) {
  const bitmap = await createImageBitmap(blob).catch(() => null);
  if (!bitmap) return null;
  const side = Math.max(bitmap.width, bitmap.height);
  const scaling = Math.min(Math.max(side, SIDE[0]), SIDE[1]) / side;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(Math.round(bitmap.width * scaling), 1);
  canvas.height = Math.max(Math.round(bitmap.height * scaling), 1);
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas;
}
