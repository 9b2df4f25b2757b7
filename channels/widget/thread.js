const GROUP = 5 * 60000; // ms: messages of one author closer than this stand together
const TYPING = 20000; // ms after which nobody believes the dots any more

/** The messages on the screen: in the server's order, each once, what has not arrived yet at the end. */
class Thread {
  constructor(names) {
    this.names = names;
    this.entries = new Map();
    this.list = h("ol", { class: "lines", role: "list" });
    this.dots = h("div", { class: "typing", "aria-hidden": "true", hidden: true }, h("i"), h("i"), h("i"));
    this.element = h("div", { class: "thread" }, this.list, this.dots);
  }

  get empty() {
    return this.entries.size === 0;
  }

  get last() {
    return this.list.lastElementChild && this.lineOf(this.list.lastElementChild);
  }

  get latest() {
    return [...this.entries.values()].reduce((at, { line }) => (!line.pending && line.at > at ? line.at : at), "");
  }

  clear() {
    this.entries.clear();
    this.list.replaceChildren();
  }

  /** Show lines; return those that are new and not the visitor's own. */
  merge(lines) {
    const news = lines.filter((line) => this.put(line) && line.from !== "visitor");
    this.group();
    return news;
  }

  /** Show what the visitor just wrote. */
  say(message) {
    const { id, at, text, title } = message;
    this.put({ id, at, from: "visitor", text: title || text, pending: true });
    this.group();
  }

  settle(id, at) {
    const entry = this.entries.get(keyOf("visitor", id));
    if (!entry || !entry.line.pending) return;
    this.entries.delete(keyOf("visitor", id));
    entry.element.remove();
    this.put({ ...entry.line, at: at || this.latest || entry.line.at, pending: false }, entry.element);
    this.group();
  }

  refuse(id, detail) {
    const entry = this.entries.get(keyOf("visitor", id));
    if (!entry) return;
    this.settle(id);
    entry.element.classList.add("refused");
    entry.element.querySelector(".fate").textContent = `Not sent: ${detail}`;
  }

  typing(on) {
    clearTimeout(this.soon);
    clearTimeout(this.enough);
    if (!on) this.dots.hidden = true;
    else {
      this.soon = setTimeout(() => this.wait(), 300); // most answers are faster
      this.enough = setTimeout(() => this.typing(false), TYPING);
    }
  }

  wait() {
    this.dots.hidden = false;
    this.onwait();
  }

  /** Put one line in its place. Returns: whether it is new. */
  put(line, element) {
    const key = keyOf(line.from, line.id);
    if (this.entries.has(key)) {
      if (this.entries.get(key).line.pending && !line.pending) this.settle(line.id, line.at);
      return false;
    }
    const entry = { line, element: element || this.draw(line, key) };
    entry.element.classList.toggle("pending", Boolean(line.pending));
    entry.element.querySelector("time").dateTime = line.at;
    entry.element.querySelector("time").textContent = clock(line.at);
    let before = this.list.lastElementChild;
    while (before && later(this.lineOf(before), line)) before = before.previousElementSibling;
    if (before) before.after(entry.element);
    else this.list.prepend(entry.element);
    this.entries.set(key, entry);
    return true;
  }

  lineOf(element) {
    return this.entries.get(element.dataset.key).line;
  }

  draw(line, key) {
    const own = line.from === "visitor";
    const name = this.names[line.from]();
    const words = own ? [line.text] : linked(line.text);
    return h(
      "li",
      { class: `line ${line.from}`, "data-key": key },
      h("div", { class: "day", hidden: true }),
      h("div", { class: "who", "aria-hidden": "true" }, own ? "" : name),
      h("div", { class: "bubble" }, h("span", { class: "unseen" }, `${name}: `), ...words),
      h("div", { class: "foot" }, h("time"), h("span", { class: "fate" }, own ? "Sending…" : "")),
    );
  }

  /** Say the day where it changes, the name and the time once for messages that stand together. */
  group() {
    let before = null;
    for (const element of this.list.children) {
      const line = this.lineOf(element);
      const newDay = !before || day(before.at) !== day(line.at);
      const first = newDay || before.from !== line.from || new Date(line.at) - new Date(before.at) > GROUP;
      const label = element.firstElementChild;
      if (label.hidden === newDay) label.hidden = !newDay;
      if (newDay && label.textContent !== day(line.at)) label.textContent = day(line.at);
      element.classList.toggle("first", first);
      if (element.previousElementSibling) element.previousElementSibling.classList.toggle("last", first);
      element.classList.add("last");
      before = line;
    }
  }
}

function later(one, other) {
  return Boolean(one.pending) === Boolean(other.pending) ? one.at > other.at : Boolean(one.pending);
}

function keyOf(from, id) {
  return `${from} ${id}`;
}

