// A tooltip that stands there at once, inside the picture, and covers neither a mark beside its own nor a heading.
export function tipIn(el) {
  const tip = el.appendChild(document.createElement("div"));
  tip.className = "rw-tip";
  tip.hidden = true;
  let mark;

  // Tell of an element; `at` is where, `others` are the marks of its kind. Of none: go away.
  function show(element, at, others) {
    const name = element?.dataset.tip;
    tip.hidden = !name;
    mark = name && element.dataset.mark;
    if (!name) return;
    tip.textContent = name;
    const [box, edge] = [at ?? element.getBoundingClientRect(), el.getBoundingClientRect()];
    const row = element.dataset.kind === "grid" ? [] : others; // of a cell it is told where it is pointed at
    const [top, left] = [topOf(element, row), box.x + (box.width ?? 0) / 2 - edge.x];
    const x = Math.min(Math.max(left - tip.offsetWidth / 2, 0), edge.width - tip.offsetWidth);
    tip.style.left = `${x}px`;
    const above = (top ?? box.y) - edge.y - tip.offsetHeight - 6;
    const free = above > 0 && !headed(el, x + edge.x, above + edge.y, tip);
    const place = top !== undefined || free ? above : box.y - edge.y + (box.height ?? 16) + 6;
    tip.style.top = `${Math.max(Math.min(place, edge.height - tip.offsetHeight), 0)}px`;
  }

  return {
    show,
    // The mark that it tells of.
    get mark() {
      return mark;
    },
  };
}

// Whether a tip would lie on bold words, if its corner stood there.
function headed(el, x, y, { offsetWidth, offsetHeight }) {
  const bold = [...el.querySelectorAll("svg text")].filter((it) => getComputedStyle(it).fontWeight >= 600);
  const boxes = bold.map((it) => it.getBoundingClientRect());
  return boxes.some((it) => it.left < x + offsetWidth && it.right > x && it.top < y + offsetHeight && it.bottom > y);
}

// Marks in a row or a column are compared: what is told of one stands above all of them.
function topOf(element, others) {
  const box = element.getBoundingClientRect();
  const same = (it, ...sides) => sides.every((side) => Math.abs(it[side] - box[side]) < 1);
  const boxes = others.map((it) => it.getBoundingClientRect());
  const beside = boxes.filter((it) => same(it, "left", "right") || same(it, "top", "bottom"));
  return beside.length > 2 ? Math.min(...beside.map((it) => it.top)) : undefined;
}
