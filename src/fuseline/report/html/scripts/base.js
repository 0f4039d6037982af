// Elements and text. Whatever comes from a model is set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);

// An HTML element. Attributes that are null or false are left out; a function listens.
function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

// The same for SVG.
function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// A name from a model: isolated, so that its direction of writing stays its own.
const LONG = 140;
function named(text) {
  if (text.length <= LONG) return el("bdi", { class: "name" }, text);
  const name = el("bdi", { class: "name" }, `${text.slice(0, LONG)}…`);
  const more = el("button", {
    type: "button",
    class: "more",
    click: (event) => {
      event.stopPropagation();
      name.textContent = text;
      more.remove();
    },
  }, `all ${text.length.toLocaleString("en")} characters`);
  return el("span", {}, name, " ", more);
}

// Text cut to a number of characters.
const shortened = (text, most) => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);

// How wide a text is in pixels, as the page's own typeface sets it.
const textWidth = (() => {
  const context = document.createElement("canvas").getContext("2d");
  return (text, font) => {
    context.font = font;
    return context.measureText(text).width;
  };
})();

// Text cut to a width in pixels.
const fitted = (() => {
  const MOST = 400; // characters that are looked at
  const known = new Map();
  return (text, width, font) => {
    const key = `${width}|${font}|${text}`;
    if (!known.has(key)) known.set(key, cut(text, width, font));
    return known.get(key);
  };
  function cut(text, width, font) {
    if (text.length <= MOST && textWidth(text, font) <= width) return text;
    let [low, high] = [0, Math.min(text.length, MOST)];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (textWidth(`${text.slice(0, middle)}…`, font) <= width) low = middle;
      else high = middle - 1;
    }
    return `${text.slice(0, low)}…`;
  }
})();

// Calls `work` once for any number of calls before the next frame.
function oncePerFrame(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      work();
    });
  };
}
