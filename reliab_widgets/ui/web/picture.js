// A picture whose marks answer. A drawing names them: "bin:3" is chosen with a click or the arrow
// keys, "handle:alpha" is dragged, "grid:cell.0" has cells that are chosen, and "ring:cell.0" shows which.
const NARROW = 700; // pixels: below, a picture may be laid out anew instead of becoming small
const MARK = /^([a-z_]+):(.+)$/;

function render({ model, el }) {
  const prefix = `rw${Math.random().toString(36).slice(2, 10)}-`;
  const root = el.appendChild(document.createElement("div"));
  const tip = tipIn(el);
  el.classList.add("rw-live");
  root.className = "rw-picture";
  root.setAttribute("role", "group");
  let drawn = "";
  let moving = null; // {name, value}: the handle that is being dragged
  let asked = null; // {name, value}: what was asked for, while Python answers
  let patience = 0;
  let frame = 0;

  const marked = (element) => element.closest?.("[data-kind]");
  const show = (element, at) => tip.show(element, at, element && all(element.dataset.kind));
  const all = (kind) => [...root.querySelectorAll("[data-kind]")].filter((it) => it.dataset.kind === kind);
  const point = (event) => {
    const svg = root.querySelector("svg");
    return new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  };

  function draw() {
    if (model.get("svg") !== drawn) {
      drawn = model.get("svg");
      const focused = root.contains(document.activeElement) && document.activeElement.dataset.mark;
      root.replaceChildren(...(drawn ? [sanitised(drawn, prefix)] : []));
      root.querySelectorAll("g[data-mark]").forEach(prepare);
      if (focused) root.querySelector(`[data-mark="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
      if (tip.mark) show(root.querySelector(`[data-mark="${CSS.escape(tip.mark)}"]`));
    }
    root.setAttribute("aria-label", model.get("alt"));
    mark();
  }

  function prepare(element) {
    const title = [...element.children].find((it) => it.localName === "title");
    const name = title?.textContent ?? "";
    title?.remove(); // shown at once instead of after a second
    const found = MARK.exec(element.dataset.mark);
    if (name) element.dataset.tip = name;
    if (!found) return;
    const [, kind, key] = found;
    if (kind === "ring") return;
    Object.assign(element.dataset, { kind, key });
    element.setAttribute("aria-label", name);
    element.setAttribute("role", { handle: "slider", grid: "application" }[kind] ?? "button");
    // JupyterLab's own keys (x cuts a cell) must not see what is pressed here.
    element.setAttribute("data-lm-suppress-shortcuts", "true");
    element.setAttribute("tabindex", "-1");
  }

  // What is chosen, and the one mark of each kind that Tab stops at.
  function mark() {
    const selected = model.get("selected");
    for (const kind of new Set([...root.querySelectorAll("[data-kind]")].map((it) => it.dataset.kind))) {
      const marks = all(kind);
      const chosen = marks.find((it) => it.dataset.key === selected[kind]);
      for (const it of marks) {
        if (kind === "handle") slide(it);
        if (kind === "grid") walk(it);
        if (kind === "handle" || kind === "grid") continue;
        it.setAttribute("tabindex", it === (chosen ?? marks[0]) ? "0" : "-1");
        it.setAttribute("aria-pressed", String(it === chosen));
      }
    }
  }

  function slide(element) {
    const handle = model.get("handles")[element.dataset.key];
    element.setAttribute("aria-disabled", String(!handle));
    if (!handle) return;
    if (asked?.name === element.dataset.key && asked.value === handle.value) asked = null;
    const value = [moving, asked].find((it) => it?.name === element.dataset.key)?.value ?? handle.value;
    const shift = placeOf(handle, value) - placeOf(handle, handle.value);
    element.setAttribute("transform", shift ? `translate(${shift})` : "");
    const states = { valuemin: handle.least, valuemax: handle.most, valuenow: value, valuetext: value.toPrecision(3) };
    for (const [name, state] of Object.entries(states)) element.setAttribute(`aria-${name}`, String(state));
    element.setAttribute("tabindex", "0");
  }

  // Put the ring of a grid on the cell that is chosen: at once, whatever Python does.
  function walk(element) {
    const { kind, grid } = gridOf(element);
    if (!grid) return;
    const [row, column] = cellOf(kind, grid);
    const [box, ring] = [element.getBBox(), root.querySelector(`[data-mark="ring:${element.dataset.key}"]`)];
    const shift = [((column - grid.column) * box.width) / grid.columns, ((row - grid.row) * box.height) / grid.rows];
    ring?.setAttribute("transform", `translate(${shift})`);
    element.setAttribute("aria-label", grid.texts[row * grid.columns + column]);
    element.setAttribute("tabindex", "0");
  }

  function gridOf(element) {
    const [kind] = element.dataset.key.split(".");
    return { kind, grid: model.get("grids")[kind] };
  }

  function cellOf(kind, grid) {
    return model.get("selected")[kind]?.split(",").map(Number) ?? [grid.row, grid.column];
  }

  function pointed(element, event) {
    const { kind, grid } = gridOf(element);
    return grid && { kind, grid, cell: cellAt(grid, element.getBoundingClientRect(), event) };
  }

  function choose(kind, key) {
    model.set("selected", { ...model.get("selected"), [kind]: key });
    model.save_changes();
    mark();
  }

  function drag(name, value) {
    if (moving?.value === value && moving.name === name) return;
    moving = { name, value };
    all("handle").filter((it) => it.dataset.key === name).forEach(slide);
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (moving) send(moving);
    });
  }

  function send({ name, value }) {
    model.set("dragged", { name, value });
    model.save_changes();
  }

  // Show what was asked for until Python has answered, or has had its time.
  function ask(name, value) {
    asked = { name, value };
    send(asked);
    mark();
    clearTimeout(patience);
    patience = setTimeout(() => {
      asked = null;
      mark();
    }, 2000);
  }

  const on = {
    pointerdown(event) {
      const element = marked(event.target);
      const handle = element?.dataset.kind === "handle" && model.get("handles")[element.dataset.key];
      if (!handle) return;
      element.focus({ preventScroll: true });
      root.setPointerCapture(event.pointerId);
      moving = { name: element.dataset.key, value: handle.value };
    },
    pointermove(event) {
      if (moving && root.hasPointerCapture(event.pointerId)) {
        const handle = model.get("handles")[moving.name];
        drag(moving.name, valueAt(handle, point(event).x));
        return;
      }
      const element = marked(event.target);
      const at = element?.dataset.kind === "grid" && pointed(element, event);
      if (!at) return;
      element.dataset.tip = at.grid.texts[at.cell[0] * at.grid.columns + at.cell[1]];
      show(element, { x: event.clientX, y: event.clientY });
    },
    pointerup() {
      if (!moving) return;
      cancelAnimationFrame(frame);
      frame = 0;
      const { name, value } = moving;
      moving = null;
      ask(name, value);
    },
    click(event) {
      const element = marked(event.target);
      if (!element || element.dataset.kind === "handle") return;
      element.focus({ preventScroll: true });
      if (element.dataset.kind === "grid") {
        const at = pointed(element, event);
        if (at) choose(at.kind, at.cell.join());
        return;
      }
      choose(element.dataset.kind, element.dataset.key);
    },
    keydown(event) {
      const element = marked(event.target);
      if (!element) return;
      const { kind, key } = element.dataset;
      let done = true;
      if (kind === "handle") {
        const handle = model.get("handles")[key];
        const here = asked?.name === key ? asked.value : handle?.value;
        const value = handle && valueByKey(handle, here, event.key);
        done = value !== undefined;
        if (done) ask(key, value);
      } else if (kind === "grid") {
        const { kind: chosen, grid } = gridOf(element);
        const cell = grid && cellByKey(grid, cellOf(chosen, grid), event.key);
        done = cell !== undefined;
        if (done) choose(chosen, cell.join());
      } else if (event.key === "Enter" || event.key === " ") {
        choose(kind, key);
      } else {
        const marks = all(kind);
        const next = nextBox(marks.map((it) => it.getBoundingClientRect()), marks.indexOf(element), event.key);
        done = next !== undefined;
        if (done) {
          marks[next].focus({ preventScroll: true });
          choose(kind, marks[next].dataset.key);
        }
      }
      if (done) event.preventDefault();
    },
    pointerover: (event) => moving || show(event.target.closest?.("[data-tip]"), { x: event.clientX, y: event.clientY }),
    pointerleave: () => show(null),
    focusin: (event) => event.target.matches(":focus-visible") && show(event.target),
    focusout: () => show(null),
  };
  for (const [name, act] of Object.entries(on)) root.addEventListener(name, act);
  for (const name of ["svg", "alt", "selected", "handles", "grids"]) model.on(`change:${name}`, draw);
  draw();
  const observer = new ResizeObserver(() => {
    const narrow = el.clientWidth < NARROW;
    if (!el.clientWidth || narrow === model.get("narrow")) return;
    model.set("narrow", narrow);
    model.save_changes();
  });
  observer.observe(el);
  const forget = named(el);
  model.set("alive", true);
  model.save_changes();
  return () => {
    model.off(null, draw);
    observer.disconnect();
    cancelAnimationFrame(frame);
    clearTimeout(patience);
    forget();
  };
}

export default { render };
