// Drawn images to begin with: made here, so that nothing is downloaded.

const SIDE = 384;

const DRAWINGS = {
  shapes(pen) {
    ground(pen, "#f3f1ec");
    disc(pen, 120, 130, 62, "#d8342c");
    pen.fillStyle = "#2458c9";
    pen.fillRect(226, 74, 112, 112);
    shape(pen, "#2d9a4b", [[96, 338], [168, 216], [240, 338]]);
    disc(pen, 304, 290, 40, "#f1c232");
  },
  house(pen) {
    ground(pen, "#9fd0f2");
    pen.fillStyle = "#6cae4f";
    pen.fillRect(0, 268, SIDE, 116);
    disc(pen, 320, 66, 34, "#ffd84a");
    pen.fillStyle = "#e9dcc3";
    pen.fillRect(108, 176, 168, 132);
    shape(pen, "#b0442f", [[88, 180], [192, 92], [296, 180]]);
    pen.fillStyle = "#6b4327";
    pen.fillRect(172, 236, 40, 72);
    pen.fillStyle = "#7fb7dd";
    pen.fillRect(126, 204, 34, 34);
    pen.fillRect(224, 204, 34, 34);
  },
  boat(pen) {
    ground(pen, "#cfe6f5");
    pen.fillStyle = "#2f78b7";
    pen.fillRect(0, 252, SIDE, 132);
    shape(pen, "#ffffff", [[196, 66], [196, 232], [300, 232]]);
    shape(pen, "#e2574c", [[184, 92], [184, 232], [104, 232]]);
    pen.fillStyle = "#5a3a22";
    pen.fillRect(186, 60, 8, 190);
    shape(pen, "#7a4a28", [[76, 244], [316, 244], [276, 300], [116, 300]]);
  },
  fruit(pen) {
    ground(pen, "#efe4d2");
    pen.fillStyle = "#c49a6c";
    pen.fillRect(0, 278, SIDE, 106);
    disc(pen, 132, 230, 72, "#cf2f2a");
    disc(pen, 262, 244, 60, "#f08a1d");
    pen.fillStyle = "#5b3d22";
    pen.fillRect(128, 140, 8, 34);
    shape(pen, "#3f8f3a", [[136, 156], [186, 128], [174, 168]]);
  },
};

/** Names of the drawings. */
export const names = Object.keys(DRAWINGS);

/** A drawing as a canvas. */
export function draw(name) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  DRAWINGS[name](canvas.getContext("2d"));
  return canvas;
}

function ground(pen, colour) {
  pen.fillStyle = colour;
  pen.fillRect(0, 0, SIDE, SIDE);
}

function disc(pen, x, y, radius, colour) {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

function shape(pen, colour, corners) {
  pen.fillStyle = colour;
  pen.beginPath();
  corners.forEach(([x, y]) => pen.lineTo(x, y));
  pen.fill();
}
