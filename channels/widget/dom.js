/** Make an element. Strings become text, never HTML. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value === false || value === null) element.removeAttribute(name);
    else element.setAttribute(name, value);
  }
}

/** An icon of 24 × 24, drawn with one path. */
function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  set(svg, { viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" });
  set(shape, { d: path });
  svg.append(shape);
  return svg;
}

const ICONS = {
  chat: "M4 6a3 3 0 0 1 3-3h10a3 3 0 0 1 3 3v7.5a3 3 0 0 1-3 3h-5.5l-4.5 4v-4a3 3 0 0 1-3-3z",
  close: "M6 6l12 12M18 6L6 18",
  down: "M6 10l6 6 6-6",
  send: "M12 19V5M5.5 11.5L12 5l6.5 6.5",
};

const LINK = /\bhttps?:\/\/[^\s<>"'`]+/gi;
const TAIL = /[.,;:!?…]+$|[)\]]+[.,;:!?…]*$/; // what ends a sentence rather than an address

/** Text as nodes, its web addresses as links. */
function linked(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const address = match[0].replace(TAIL, (tail) => (balanced(match[0], tail) ? tail : ""));
    if (!URL.canParse?.(address)) continue;
    nodes.push(text.slice(end, match.index));
    nodes.push(h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, address));
    end = match.index + address.length;
  }
  return [...nodes, text.slice(end)].filter((node) => node !== "");
}

/** Whether the brackets at the end of an address belong to it, as in wiki/Lead_(person). */
function balanced(address, tail) {
  return /^[)\]]+$/.test(tail) && count(address, /[([]/g) >= count(address, /[)\]]/g);
}

function count(text, what) {
  return (text.match(what) || []).length;
}

function clock(at) {
  return new Date(at).toLocaleTimeString([], { timeStyle: "short" });
}

/** A day as people say it. */
function day(at) {
  const then = new Date(at);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86400000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  const year = then.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  return then.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long", ...year });
}

