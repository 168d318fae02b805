// Where things lie in a picture; no element of the page is needed to know it.

const scaled = ({ log }, value) => (log ? Math.log(value) : value);
const within = ({ least, most }, value) => Math.min(Math.max(Number(value.toPrecision(12)), least), most);

// The values that a handle can take, where these are not steps of one size.
const stopsOf = ({ stops = [], least, most }) => stops.filter((it) => it >= least && it <= most);
const nearest = (stops, value) => stops.reduce((best, it, k) => (Math.abs(it - value) < Math.abs(stops[best] - value) ? k : best), 0);

// The value of a handle at a place of the picture: on its steps, and between its ends.
export function valueAt(handle, place) {
  const { low, high, from, to, step, log } = handle;
  const [first, last] = [scaled(handle, low), scaled(handle, high)];
  const value = first + ((place - from) / (to - from)) * (last - first);
  const stops = stopsOf(handle);
  if (stops.length) return stops[nearest(stops, log ? Math.exp(value) : value)];
  const begin = log ? 0 : first; // steps are counted from here: 1 is one of them where they multiply
  const whole = begin + Math.round((value - begin) / step) * step;
  return within(handle, log ? Math.exp(whole) : whole);
}

// The place of a value.
export function placeOf(handle, value) {
  const [at, first, last] = [value, handle.low, handle.high].map((it) => scaled(handle, it));
  return handle.from + ((at - first) / (last - first)) * (handle.to - handle.from);
}

// The value that a key takes a handle to; undefined if the key is none of its own.
export function valueByKey(handle, value, key) {
  const stops = stopsOf(handle);
  if (key === "Home") return stops[0] ?? handle.least;
  if (key === "End") return stops.at(-1) ?? handle.most;
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5 }[key];
  if (!steps) return undefined;
  if (stops.length) return stops[Math.min(Math.max(nearest(stops, value) + steps, 0), stops.length - 1)];
  const moved = scaled(handle, value) + steps * handle.step;
  return within(handle, handle.log ? Math.exp(moved) : moved);
}

// The number of the box that a key leads to from another one: the nearest in that direction.
export function nextBox(boxes, here, key) {
  if (key === "Home") return 0;
  if (key === "End") return boxes.length - 1;
  const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[key];
  if (!way) return undefined;
  const centre = ({ x, y, width, height }) => [x + width / 2, y + height / 2];
  const [x, y] = centre(boxes[here]);
  let [best, least] = [here, Infinity];
  boxes.forEach((box, number) => {
    const [dx, dy] = [centre(box)[0] - x, centre(box)[1] - y];
    const along = dx * way[0] + dy * way[1];
    const aside = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
    if (along > 0.5 && along + 3 * aside < least) [best, least] = [number, along + 3 * aside];
  });
  if (best !== here) return best;
  // Marks that stand in one row are walked with either pair of arrows.
  return Math.min(Math.max(here + (way[0] || way[1]), 0), boxes.length - 1);
}

// The cell, [row, column], of a grid at a point of the box that it fills.
export function cellAt({ rows, columns }, box, { x, y }) {
  const along = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
  return [along((y - box.y) / box.height, rows), along((x - box.x) / box.width, columns)];
}

// The cell that a key leads to from another one; undefined if the key is none of its own.
export function cellByKey({ rows, columns }, [row, column], key) {
  if (key === "Home") return [row, 0];
  if (key === "End") return [row, columns - 1];
  const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[key] ?? [];
  if (down === undefined) return undefined;
  return [Math.min(Math.max(row + down, 0), rows - 1), Math.min(Math.max(column + right, 0), columns - 1)];
}
