const SUGGESTIONS = ["What does it cost?", "Book a demo", "Talk to a human"];
const MOST = 4000; // characters
const GRACE = 2000; // ms without a connection before anybody is told
const CONNECTING = "Connecting…";
const AWAY = "No connection. Your messages are kept and sent as soon as it is back.";

/**
 * Everything that is seen. `inline`: the chat is part of the page, instead of a panel behind a button; `light`: its text
 * is text of the page itself, which has our style sheet.
 */
class Panel {
  constructor({ memory, base, inline, light, onsay, onopen }) {
    Object.assign(this, { memory, inline, onsay, onopen });
    this.name = "";
    this.unread = 0;
    const names = {
      visitor: () => "You",
      bot: () => (this.name ? `${this.name} assistant` : "Assistant"),
      human: () => (this.name ? `${this.name} team` : "Team"),
    };
    this.thread = new Thread(names);
    this.thread.onwait = () => this.follow();
    this.host = h("div", { "data-leadline": inline ? "inline" : "floating" });
    if (light) {
      this.host.classList.add("leadline");
      this.host.append(...this.build());
    } else this.shade(base);
    new ResizeObserver(() => this.follow()).observe(this.log); // a keyboard came up, the window was turned
    if (!inline) this.fold(true);
    this.call("");
    this.suggest();
  }

  /** Stand in a shadow root: the styles of a foreign page stay out, ours stay in. */
  shade(base) {
    set(this.host, { hidden: true });
    const look = h("link", { rel: "stylesheet", href: `${base}/chat/widget.css` });
    look.onload = () => set(this.host, { hidden: false }); // unstyled, it would jump about in the page
    this.host.attachShadow({ mode: "open" }).append(look, ...this.build());
  }

  build() {
    this.avatar = h("span", { class: "avatar", "aria-hidden": "true" });
    this.title = h("h2", { class: "title" });
    const dot = h("span", { class: "dot", "aria-hidden": "true" });
    this.state = h("p", { class: "state" }, dot, h("span", {}, CONNECTING));
    const shut = { class: "close", type: "button", "aria-label": "Close chat", onclick: () => this.fold(true) };
    const close = this.inline ? null : h("button", shut, icon(ICONS.close));
    const header = h("header", { class: "top" }, this.avatar, h("div", { class: "names" }, this.title, this.state), close);
    this.face = h("span", { class: "avatar", "aria-hidden": "true" });
    this.about = h("p", { class: "about" });
    this.greeting = h("p", { class: "bubble" });
    this.hero = h("div", { class: "hero" }, this.face, this.about);
    const intro = h("div", { class: "intro" }, this.hero, h("div", { class: "line bot first last" }, this.greeting));
    const log = { class: "log", role: "log", "aria-label": "Messages", tabindex: "0", onscroll: () => this.scrolled() };
    this.log = h("div", log, intro, this.thread.element);
    const down = { class: "down", type: "button", hidden: true, onclick: () => this.end() };
    this.down = h("button", down, icon(ICONS.down), "New messages");
    this.replies = h("div", { class: "replies", role: "group", "aria-label": "Suggested answers" });
    this.notice = h("p", { class: "notice", role: "status" });
    const body = h("div", { class: "body" }, this.log, this.down);
    const panel = { class: "panel", id: "panel", onkeydown: (event) => this.key(event) };
    this.panel = h("section", panel, header, body, this.replies, this.notice, this.composer());
    if (!this.inline) set(this.panel, { role: "dialog" });
    this.badge = h("span", { class: "badge", "aria-hidden": "true", hidden: true });
    const launch = { class: "launcher", type: "button", "aria-controls": "panel" };
    this.launcher = h("button", { ...launch, onclick: () => this.fold(!this.folded) }, icon(ICONS.chat), icon(ICONS.close), this.badge);
    return this.inline ? [this.panel] : [this.panel, this.launcher];
  }

  composer() {
    const about = { "aria-label": "Your message", placeholder: "Write a message…", enterkeyhint: "send" };
    const field = { ...about, rows: "1", maxlength: MOST, autocomplete: "off", oninput: () => this.grow() };
    this.field = h("textarea", field);
    this.left = h("span", { class: "left", "aria-live": "polite" });
    const send = h("button", { class: "send", type: "submit", "aria-label": "Send message" }, icon(ICONS.send));
    const submit = (event) => {
      event.preventDefault();
      this.submit();
    };
    const box = h("div", { class: "field" }, this.field, this.left);
    this.form = h("form", { class: "composer empty", onsubmit: submit }, box, send);
    return this.form;
  }

  // What the server tells

  call(name) {
    this.name = name;
    this.title.textContent = name || "Chat";
    set(this.panel, { "aria-label": name ? `Chat with ${name}` : "Chat" });
    this.avatar.replaceChildren(initial(name));
    this.face.replaceChildren(initial(name));
    const who = name ? `the ${name} assistant` : "an assistant";
    this.about.textContent = "Prices, integrations, security, the trial: answers in seconds.";
    this.greeting.textContent = `Hi there! I’m ${who}. What would you like to know?`;
  }

  welcome({ visitor, product, history }) {
    if (this.visitor && this.visitor !== visitor) this.thread.clear();
    const again = this.visitor === visitor;
    this.scrolled();
    this.visitor = visitor;
    if (product && product.name !== this.name) this.call(product.name);
    set(this.log, { "aria-busy": "true" });
    const news = this.thread.merge(history);
    this.memory.unsent.forEach((message) => this.thread.say(message));
    set(this.log, { "aria-busy": "false" });
    const { seen } = this.memory.read();
    this.note(again ? news.length : news.filter((line) => seen && line.at > seen).length);
    if (!again) this.end();
    this.shown();
  }

  shown() {
    this.follow();
    this.suggest();
    this.seen();
  }

  line(line) {
    this.scrolled();
    this.thread.typing(false);
    this.note(this.thread.merge([line]).length);
    this.shown();
  }

  sent(id, at) {
    this.thread.typing(false);
    this.thread.settle(id, at);
  }

  refused(id, detail) {
    this.thread.typing(false);
    this.thread.refuse(id, detail);
  }

  reachable(is) {
    set(this.state, { "data-on": String(is) });
    this.state.lastChild.textContent = is ? "Replies at once" : CONNECTING;
    if (!is) {
      this.thread.typing(false);
      this.grace = this.grace || setTimeout(() => this.tell(AWAY), GRACE);
    } else {
      clearTimeout(this.grace);
      this.grace = null;
      this.tell("");
    }
  }

  broken(detail) {
    clearTimeout(this.grace);
    this.state.lastChild.textContent = "Unavailable";
    this.tell(`This chat is not available: ${detail}.`);
    this.form.inert = this.replies.inert = true;
  }

  tell(words) {
    if (this.notice.textContent !== words) this.notice.textContent = words;
  }

  // What the visitor does

  submit() {
    const text = this.field.value.trim();
    if (!text) return;
    this.field.value = "";
    this.grow();
    this.say({ text });
  }

  say(words) {
    const message = { id: newId(), at: new Date().toISOString(), ...words };
    this.thread.say(message);
    this.onsay(message);
    this.suggest();
    this.end();
  }

  /** Offer the buttons of the last message; at the very beginning, what people usually ask. */
  suggest() {
    const last = this.thread.last;
    const offered = last ? (last.from === "bot" && last.buttons) || [] : SUGGESTIONS.map((title) => ({ title }));
    const key = JSON.stringify([last && last.id, offered]);
    if (this.offered === key) return;
    this.offered = key;
    set(this.hero, { hidden: !this.thread.empty });
    const held = this.replies.contains(this.panel.getRootNode().activeElement);
    this.replies.replaceChildren(...offered.map((choice) => this.reply(choice)));
    this.follow();
    if (held) this.rest();
  }

  reply({ title, payload }) {
    const press = () => {
      this.say(payload === undefined ? { text: title } : { payload, title });
      this.rest();
    };
    return h("button", { type: "button", class: "reply", onclick: press }, title);
  }

  key(event) {
    if (event.key === "Escape" && !this.inline) {
      event.stopPropagation();
      this.fold(true);
    } else if (event.key === "Enter" && event.target === this.field && !event.shiftKey && !composing(event)) {
      event.preventDefault();
      this.submit();
    }
  }

  grow() {
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
    this.form.classList.toggle("empty", !this.field.value.trim());
    const left = MOST - this.field.value.length;
    this.left.textContent = left < 200 ? `${left} left` : "";
    this.follow();
  }

  /** Close the panel, or open it. */
  fold(folded, focus = true) {
    const before = this.folded;
    this.folded = folded;
    set(this.panel, { hidden: folded });
    set(this.launcher, { "aria-expanded": String(!folded) });
    this.host.classList.toggle("open", !folded);
    this.count(folded ? this.unread : 0);
    if (before === undefined) return;
    this.memory.write({ open: !folded });
    if (!folded) {
      this.onopen();
      this.end();
      this.seen();
    }
    if (focus && folded) this.launcher.focus({ preventScroll: true });
    else if (focus) this.rest();
  }

  /** Give the focus to where one goes on: the field; the messages, where that would bring up a keyboard over them. */
  rest() {
    (fine() ? this.field : this.log).focus({ preventScroll: true });
  }

  // Where we are

  note(news) {
    if (!news) return;
    if (this.folded) this.count(this.unread + news);
    else if (!this.near) set(this.down, { hidden: false });
  }

  count(unread) {
    this.unread = unread;
    set(this.badge, { hidden: !unread });
    this.badge.textContent = unread > 9 ? "9+" : String(unread);
    const news = unread ? `, ${unread} new ${unread === 1 ? "message" : "messages"}` : "";
    set(this.launcher, { "aria-label": this.folded ? `Open chat${news}` : "Close chat" });
  }

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    this.near = scrollHeight - scrollTop - clientHeight < 60;
    if (this.near) set(this.down, { hidden: true });
  }

  /** Stay at the newest message, unless the visitor is reading further up. */
  follow() {
    if (this.near !== false) this.end();
  }

  end() {
    this.near = true;
    set(this.down, { hidden: true });
    this.log.scrollTop = this.log.scrollHeight;
  }

  /** Remember up to where the visitor has read. */
  seen() {
    if (!this.folded && this.thread.latest) this.memory.write({ seen: this.thread.latest });
  }
}

function initial(name) {
  return name ? [...name][0].toUpperCase() : icon(ICONS.chat);
}

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether the key belongs to an input method that is still putting a character together. */
function composing(event) {
  return event.isComposing || event.keyCode === 229;
}

/** Whether there is a mouse; where there is none, focus would bring up a keyboard over half the screen. */
function fine() {
  return matchMedia("(pointer: fine)").matches;
}

