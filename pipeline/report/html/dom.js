// Elements out of plain values: text is always text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, `on` listeners, `style` properties and children (elements, texts, null for none). */
export function el(tag, props = {}, ...children) {
  return made(document.createElement(tag), props, children);
}

export function svg(tag, props = {}, ...children) {
  return made(document.createElementNS(SVG, tag), props, children);
}

export function section(id, title, lead, ...children) {
  const heading = el("h2", { id: `${id}-title` }, title);
  return el("section", { id, "aria-labelledby": heading.id }, heading, lead && el("p", { class: "lead" }, lead), ...children);
}

/** What opens on a click; `fill` makes its content the first time. */
export function fold(summary, fill, props = {}) {
  const details = el("details", props, el("summary", {}, ...[summary].flat()));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(...[fill()].flat());
  });
  return details;
}

export function button(text, click, props = {}) {
  return el("button", { type: "button", on: { click }, ...props }, text);
}

/** Lets Enter and Space do what a click does: for parts of pictures. */
export function pressable(element, label, press) {
  element.setAttribute("tabindex", "0");
  element.setAttribute("role", "button");
  element.setAttribute("aria-label", label);
  element.addEventListener("click", press);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    press(event);
  });
  return element;
}

/** A name of the corpus, isolated so that its direction of writing stays its own. */
export function name(text, props = {}) {
  return el("bdi", props, text);
}

function made(element, props, children) {
  for (const [key, value] of Object.entries(props)) {
    if (value == null || value === false) continue;
    if (key === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (key === "style") for (const [property, set] of Object.entries(value)) element.style.setProperty(property, set);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}
