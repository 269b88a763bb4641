// Making elements. Whatever is shown goes into text nodes and attributes; nothing is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** What turns the direction of writing, also of what stands behind it, or cannot be seen. */
const STEERS = /[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const harmless = (child) => (typeof child === "string" ? child.replace(STEERS, "\ufffd") : child);

const there = (child) => child !== null && child !== false && child !== undefined;

/** An element: `props` are attributes, but for `on` (listeners by event); null and false leave an attribute or a child out. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value !== null && value !== false && value !== undefined) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter(there).map(harmless));
  return element;
}

/** Shapes that differ without their colours, 16 by 16. */
const SHAPES = {
  ok: { fill: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Z", cut: "m5 8.2 2 2 4-4.4" },
  degraded: { fill: "M6.9 2.2 1.3 12a1.3 1.3 0 0 0 1.1 2h11.2a1.3 1.3 0 0 0 1.1-2L9.1 2.2a1.3 1.3 0 0 0-2.2 0Z", cut: "M8 6.2v3.2m0 2.1v.1" },
  down: { fill: "M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2Z", cut: "m5.6 5.6 4.8 4.8m0-4.8-4.8 4.8" },
  draining: { line: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2Z", cut: "M8 5v6m-2.5-2.4L8 11l2.5-2.4" },
  waiting: { line: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2Z", cut: "M8 5v3.2l2 1.4" },
  standby: { line: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2Z", cut: "M6.4 6v4m3.2-4v4" },
  held: { line: "M3.5 7h9v6.5h-9Z", cut: "M5.5 7V5a2.5 2.5 0 0 1 5 0v2" },
  go: { line: "m6 3.5 4.5 4.5L6 12.5" },
  back: { line: "M10 3.5 5.5 8l4.5 4.5" },
};

/** A decorative icon: what it says must be said in words beside it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", `icon ${name}`);
  svg.setAttribute("aria-hidden", "true");
  for (const [part, shape] of Object.entries(SHAPES[name])) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", shape);
    path.setAttribute("class", part);
    svg.append(path);
  }
  return svg;
}

/** Fills `element` with what `build` makes, unless `key` is what it was filled for the last time. */
export function patch(element, key, build) {
  if (element.shownFor === key) return;
  element.shownFor = key;
  element.replaceChildren(...[build()].flat().filter(there).map(harmless));
}
