// What a drawing may hold. All else is dropped: no text of a user is ever markup.
const ELEMENTS = new Set(
  ("svg g defs path use text tspan image rect circle ellipse line polyline polygon clippath " +
    "pattern title").split(" "),
);
const INSIDE = /^(#|data:image\/(png|jpeg);base64,)/; // what may be shown without asking anybody
const ELSEWHERE = /url\(\s*(?!["']?#)|expression|@import/i;

// The text of an SVG as an element of this page, whose ids begin with `prefix`.
export function sanitised(text, prefix) {
  const read = new DOMParser().parseFromString(text, "image/svg+xml");
  const svg = read.documentElement;
  if (svg.localName !== "svg") throw new Error("the picture is no SVG");
  for (const element of [svg, ...svg.querySelectorAll("*")]) {
    if (!ELEMENTS.has(element.localName.toLowerCase())) {
      element.remove();
      continue;
    }
    for (const { name, value } of [...element.attributes]) {
      const link = /^(xlink:)?href$/.test(name);
      if (/^on/i.test(name) || (link ? !INSIDE.test(value) : ELSEWHERE.test(value))) {
        element.removeAttribute(name);
      } else if (name === "id") {
        element.dataset.mark = value;
        element.id = prefix + value;
      } else if (link && value.startsWith("#")) {
        element.setAttribute(name, "#" + prefix + value.slice(1));
      } else if (value.includes("url(#")) {
        element.setAttribute(name, value.replace(/url\(#/g, `url(#${prefix}`));
      }
    }
  }
  return document.importNode(svg, true);
}
