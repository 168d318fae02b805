// What ipywidgets' own controls lack: names for screen readers, and keys that JupyterLab must not see.
// The number beside a slider over chosen values takes any text and forgets it: let it be text.
function quiet(slider) {
  const number = slider?.querySelector(".widget-readout[contenteditable=true]");
  number?.setAttribute("contenteditable", "false");
}

// Mend the controls around `el` now and whenever they change; call what comes back to stop.
export function named(el) {
  let watched = null;
  const name = () => {
    for (const it of watched.querySelectorAll("button, input, select, textarea, .noUi-handle")) {
      if (!it.hasAttribute("data-lm-suppress-shortcuts")) it.setAttribute("data-lm-suppress-shortcuts", "true");
      const label = it.closest(".widget-inline-hbox")?.querySelector(".widget-label")?.textContent;
      if (it.matches(".noUi-handle")) quiet(it.closest(".rw-stops"));
      if (label && it.matches(".noUi-handle") && it.getAttribute("aria-label") !== label) it.setAttribute("aria-label", label);
    }
  };
  // JupyterLab leaves the focus where it is when the widget's own cell is clicked.
  const leave = ({ target }) => {
    if (!watched.contains(target) && watched.contains(document.activeElement)) document.activeElement.blur();
  };
  const escape = ({ key }) => key === "Escape" && watched.closest(".jp-Cell")?.focus();
  const observer = new MutationObserver(name);
  const timer = setTimeout(() => {
    watched = el.closest(".rw-explorer");
    if (!watched) return;
    name();
    observer.observe(watched, { childList: true, subtree: true, attributeFilter: ["contenteditable"] });
    document.addEventListener("pointerdown", leave, true);
    watched.addEventListener("keydown", escape);
  });
  return () => {
    clearTimeout(timer);
    observer.disconnect();
    document.removeEventListener("pointerdown", leave, true);
    watched?.removeEventListener("keydown", escape);
  };
}
