const PATIENCE = 8000; // ms until a silent connection counts as dead
const FINAL = new Set([400, 404, 413, 415, 422]); // answers that stay the same however often one asks
const POLL = 3000; // ms between two looks where web sockets do not get through

/**
 * The connection. A web socket that comes back by itself; while there is none, plain HTTP.
 * Messages carry an id and are repeated until they are acknowledged: the server takes each once.
 *
 * `on`: welcome(thread), line(line), typing(), sent(id, at), refused(id, detail), broken(detail), state(reachable),
 * latest() → when the newest message that is known was written
 */
class Wire {
  constructor(base, product, memory, on) {
    Object.assign(this, { base, product, memory, on });
    this.misses = 0;
    this.http = false;
    this.stumbles = new Map();
  }

  start() {
    if (this.started) return;
    this.started = true;
    addEventListener("online", () => this.nudge());
    addEventListener("pageshow", (event) => event.persisted && this.nudge());
    document.addEventListener("visibilitychange", () => document.hidden || this.nudge());
    this.open();
  }

  get reachable() {
    return Boolean(this.greeted || this.http);
  }

  send(message) {
    this.memory.hold(message);
    if (this.greeted) this.utter(message);
    else if (this.http) this.flush();
  }

  utter(message) {
    this.write({ type: "message", ...wordsOf(message) });
    this.expect();
  }

  open() {
    clearTimeout(this.retry);
    let socket;
    try {
      socket = new WebSocket(this.base.replace(/^http/, "ws") + "/chat/ws");
    } catch {
      this.closed();
      return;
    }
    this.socket = socket;
    this.expect();
    socket.onopen = () => this.hello();
    socket.onmessage = (event) => this.socket === socket && this.take(JSON.parse(event.data));
    socket.onclose = () => this.socket === socket && this.closed();
  }

  hello() {
    const { visitor, token } = this.memory.read();
    this.write({ type: "hello", product: this.product, ...(token ? { visitor, token } : {}) });
    this.expect();
  }

  write(frame) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  /** Give up on the connection unless something comes soon. */
  expect() {
    clearTimeout(this.patience);
    const socket = this.socket;
    this.patience = setTimeout(() => {
      socket.close();
      if (this.socket === socket) this.closed(); // closing may take its time
    }, PATIENCE);
  }

  closed() {
    clearTimeout(this.patience);
    this.socket = null;
    this.misses = this.greeted ? 0 : this.misses + 1;
    this.greeted = false;
    if (this.broken) return;
    const wait = Math.min(30000, 400 * 2 ** this.misses) * (0.5 + Math.random() / 2);
    this.retry = setTimeout(() => this.open(), wait);
    if (this.misses > 1) this.poll();
    this.on.state(this.reachable);
  }

  /** We are back from sleep, a tunnel or another tab: see whether the connection is. */
  nudge() {
    if (this.greeted) this.hello();
    else if (!this.broken && (!this.socket || this.socket.readyState > WebSocket.OPEN)) {
      this.misses = Math.min(this.misses, 1);
      this.open();
    }
  }

  take(frame) {
    clearTimeout(this.patience);
    if (frame.type === "welcome") this.welcome(frame);
    else if (frame.type === "message") this.on.line(frame);
    else if (frame.type === "typing") this.on.typing();
    else if (frame.type === "ack") this.sent(frame.id, frame.at);
    else if (frame.type === "error") this.error(frame);
  }

  welcome({ visitor, token, product, history }) {
    this.greeted = true;
    this.http = false;
    this.misses = 0;
    clearTimeout(this.polling);
    this.memory.write({ visitor, token });
    this.on.welcome({ visitor, product, history });
    this.on.state(true);
    for (const message of this.memory.unsent) this.utter(message);
  }

  sent(id, at) {
    this.memory.drop(id);
    this.on.sent(id, at);
  }

  error({ id, status, detail, retry_after: wait }) {
    if (wait && !this.hopeless(id, status)) setTimeout(() => this.again(id), wait * 1000);
    else if (id) this.refuse(id, detail);
    else if (status === 422 && !this.greeted) this.fail(detail);
  }

  /** Whether the server has stumbled over a message so often that it will again. */
  hopeless(id, status) {
    if (status !== 500) return false;
    this.stumbles.set(id, (this.stumbles.get(id) || 0) + 1);
    return this.stumbles.get(id) >= 3;
  }

  /** Repeat what the server could not take just then. */
  again(id) {
    if (!this.greeted) {
      if (this.socket && !id) this.hello();
      return;
    }
    const message = this.memory.unsent.find((one) => one.id === id);
    if (message) this.utter(message);
  }

  refuse(id, detail) {
    this.memory.drop(id);
    this.on.refused(id, detail);
  }

  fail(detail) {
    this.broken = true;
    clearTimeout(this.retry);
    if (this.socket) this.socket.close();
    this.on.broken(detail);
  }

  // Without a web socket

  async poll() {
    clearTimeout(this.polling);
    const { visitor, token } = this.memory.read();
    const query = new URLSearchParams();
    const after = this.on.latest();
    if (this.product) query.set("product", this.product);
    if (after) query.set("after", after);
    if (token) {
      query.set("visitor", visitor);
      query.set("token", token);
    }
    const answer = await this.call(`/chat/messages?${query}`);
    if (this.greeted) return;
    this.http = answer.ok;
    if (answer.ok) {
      const { messages, ...who } = answer.body;
      this.memory.write({ visitor: who.visitor, token: who.token });
      this.on.welcome({ ...who, history: messages });
      this.polling = setTimeout(() => this.poll(), POLL);
      await this.flush();
    } else if (answer.status === 422) {
      this.fail(answer.body.detail);
    }
    this.on.state(this.reachable);
  }

  /** Post what has not arrived, one after another. */
  async flush() {
    if (this.flushing) return;
    this.flushing = true;
    for (let message; (message = this.memory.unsent[0]) && !this.greeted; ) {
      if (!(await this.post(message))) break;
    }
    this.flushing = false;
  }

  async post(message) {
    const { visitor, token } = this.memory.read();
    const who = token ? { visitor, token } : {};
    const product = this.product ? { product_id: this.product } : {};
    this.on.typing();
    const answer = await this.call("/chat/messages", { ...who, ...product, ...wordsOf(message) });
    if (answer.ok) {
      const { messages } = answer.body;
      this.memory.write({ visitor: answer.body.visitor, token: answer.body.token });
      this.sent(message.id, messages.length ? messages[0].at : undefined);
      messages.forEach((line) => this.on.line(line));
    } else if (this.hopeless(message.id, answer.status) || FINAL.has(answer.status)) {
      this.refuse(message.id, answer.body.detail);
    } else {
      return false; // the next look tries again
    }
    return true;
  }

  async call(path, body) {
    const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    try {
      const answer = await fetch(this.base + path, { credentials: "omit", cache: "no-store", ...(body ? post : {}) });
      return { ok: answer.ok, status: answer.status, body: await answer.json() };
    } catch {
      return { ok: false, status: 0, body: {} };
    }
  }
}

function wordsOf({ id, text, payload }) {
  return payload === undefined ? { id, text } : { id, payload };
}

