// An attention map over an image, as saccade/viz/attention.py draws it: tests compare the two.

/** Times the mean weight: a region with that much attention or more is drawn at full heat. */
const FULL_HEAT = 3;

/** Every 15th of the 256 colours of Matplotlib's "inferno", from no attention to full heat. */
const STOPS = [
  0x000004, 0x0a0722, 0x1e0c45, 0x380962, 0x510e6c, 0x69166e, 0x801f6c, 0x982766, 0xb0315b,
  0xc63d4d, 0xd94d3d, 0xe9612b, 0xf47918, 0xfa9407, 0xfcb014, 0xf8cd37, 0xf2ea69, 0xfcffa4,
];

const COLOURS = Array.from({ length: 256 }, (_, at) => {
  const low = Math.min(Math.floor(at / 15), STOPS.length - 2);
  const part = at / 15 - low;
  return [16, 8, 0].map((shift) => {
    const [from, to] = [(STOPS[low] >> shift) & 255, (STOPS[low + 1] >> shift) & 255];
    return from + part * (to - from);
  });
});

/**
 * Heat of each pixel, 0..1, row by row. `boxes` are x0 y0 x1 y1 as shares of width and height. A
 * pixel is the mean weight of the regions that cover it; `smooth` blends the cells of a grid,
 * without it edges are sharp, as suits boxes. A pixel is 1 at three times the mean weight or more.
 */
export function heatOf(weights, boxes, width, height, smooth) {
  const heat = new Float32Array(width * height);
  const coverage = new Float32Array(width * height);
  const cover = smooth ? bump : inside;
  boxes.forEach(([x0, y0, x1, y1], region) => {
    const across = cover(x0, x1, width);
    for (const [y, down] of cover(y0, y1, height)) {
      for (const [x, share] of across) {
        coverage[y * width + x] += down * share;
        heat[y * width + x] += weights[region] * down * share;
      }
    }
  });
  let full = 0;
  for (let at = 0; at < heat.length; at++) {
    // A smooth grid covers its own corners by a quarter; less than that is beyond its edge.
    heat[at] /= Math.max(coverage[at], 0.25);
    full = Math.max(full, heat[at]);
  }
  const total = weights.reduce((sum, one) => sum + one, 0);
  full = Math.max(full, (FULL_HEAT * total) / Math.max(weights.length, 1));
  return full > 0 ? heat.map((one) => one / full) : heat;
}

/** [pixel, share of it between low and high] of all pixels that have any. */
function inside(low, high, pixels) {
  const found = [];
  const last = Math.min(Math.ceil(high * pixels), pixels);
  for (let at = Math.max(Math.floor(low * pixels), 0); at < last; at++) {
    const share = Math.min(high * pixels, at + 1) - Math.max(low * pixels, at);
    if (share > 0) found.push([at, Math.min(share, 1)]);
  }
  return found;
}

/** The same by a quadratic B-spline: a half at the edges, 0 its own size further out. */
function bump(low, high, pixels) {
  const size = Math.max(high - low, 1 / pixels);
  const middle = (low + high) / 2;
  const found = [];
  const last = Math.min(Math.ceil((middle + 1.5 * size) * pixels), pixels);
  for (let at = Math.max(Math.floor((middle - 1.5 * size) * pixels), 0); at < last; at++) {
    const away = Math.abs((at + 0.5) / pixels - middle) / size;
    const share = away < 0.5 ? 0.75 - away ** 2 : 0.5 * (1.5 - Math.min(away, 1.5)) ** 2;
    if (share > 0) found.push([at, share]);
  }
  return found;
}

/**
 * Pixels (RGBA) under a heat map: cold places are darker and paler, hot ones keep their own light
 * under the colours. `strength` 0 leaves the image as it is, 1 is the whole map.
 */
export function overlay(pixels, heat, strength = 1) {
  const mixed = new Uint8ClampedArray(pixels.length);
  for (let at = 0; at < heat.length; at++) {
    const place = 4 * at;
    const hot = heat[at];
    const grey = 0.299 * pixels[place] + 0.587 * pixels[place + 1] + 0.114 * pixels[place + 2];
    const colour = COLOURS[Math.round(hot * 255)];
    const share = 0.1 + 0.5 * hot;
    for (let channel = 0; channel < 3; channel++) {
      const light = pixels[place + channel];
      const cold = 0.75 * (0.55 * light + 0.45 * grey);
      const under = cold * (1 - hot) + light * hot;
      const mapped = under * (1 - share) + colour[channel] * share;
      mixed[place + channel] = light + strength * (mapped - light);
    }
    mixed[place + 3] = 255;
  }
  return mixed;
}

/** Draw edges: of each box that has more than its even share, and a frame around the first. */
export function outline(context, weights, boxes, edges) {
  const { width, height } = context.canvas;
  const order = ranked(weights);
  const pixel = Math.max(width, height) / 480;
  if (edges) {
    for (const at of order.filter((one) => weights[one] * weights.length > 1).reverse()) {
      stroke(context, boxes[at], "#000000a0", 3 * pixel, pixel);
      stroke(context, boxes[at], "#ffffffc0", 1.2 * pixel, pixel);
    }
  }
  stroke(context, boxes[order[0]], "#000", 5 * pixel, 2 * pixel);
  stroke(context, boxes[order[0]], "#fff", 2.2 * pixel, 2 * pixel);

  function stroke(pen, [x0, y0, x1, y1], colour, line, margin) {
    const left = Math.max(x0 * width, margin);
    const top = Math.max(y0 * height, margin);
    const right = Math.min(x1 * width, width - margin);
    const low = Math.min(y1 * height, height - margin);
    pen.strokeStyle = colour;
    pen.lineWidth = line;
    pen.strokeRect(left, top, Math.max(right - left, 1), Math.max(low - top, 1));
  }
}

/** Regions from the most weight to the least. */
export function ranked(weights) {
  return weights.map((_, at) => at).sort((one, two) => weights[two] - weights[one] || one - two);
}
