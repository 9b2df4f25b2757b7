"use strict";
// What the desk's pages do by themselves; every page works without it. Times become local, a conversation goes on.
(() => {
  const ASK_EVERY = 2000; // ms
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
  const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
  const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });

  function ago(at) {
    const seconds = (at - Date.now()) / 1000;
    const distance = Math.abs(seconds);
    if (distance < 60) return seconds <= 0 ? "just now" : "in a moment";
    if (distance >= 30 * 86400) return day.format(at);
    const [unit, size] = UNITS.find(([, size]) => distance >= size);
    return relative.format(Math.trunc(seconds / size), unit);
  }

  function short(at) {
    const today = new Date().toDateString() === at.toDateString();
    return today ? clock.format(at) : `${at.getDate()} ${at.toLocaleString("en-GB", { month: "short" })}, ${clock.format(at)}`;
  }

  /** Say times in the reader's own zone. */
  function tell(root) {
    for (const time of root.querySelectorAll("time[data-time]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const text = time.dataset.time === "ago" ? ago(at) : short(at);
      if (time.textContent !== text) time.textContent = text;
      time.title = exact.format(at);
    }
  }

  /** A conversation that is asked for again and again. What stands there already is not touched. */
  class Live {
    constructor(box) {
      this.box = box;
      this.list = box.querySelector("ol");
      this.raw = [...this.list.children].map((line) => line.outerHTML);
      this.state = this.list.dataset.state;
      this.tag = null;
    }

    begin() {
      this.box.scrollTop = this.box.scrollHeight;
      document.addEventListener("visibilitychange", () => document.hidden || this.ask());
      this.wait();
    }

    wait() {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask(), ASK_EVERY);
    }

    async ask() {
      if (this.asking) return;
      this.asking = true;
      clearTimeout(this.timer);
      try {
        if (!document.hidden && !(await this.fetch())) return;
        this.wait();
      } catch {
        this.wait(); // away for a moment
      } finally {
        this.asking = false;
      }
    }

    /** Return whether it makes sense to ask again. */
    async fetch() {
      const answer = await fetch(this.box.dataset.live, { redirect: "manual", cache: "no-store" });
      if (answer.type === "opaqueredirect" || answer.status === 404) {
        this.moved();
        return false;
      }
      if (!answer.ok) return true;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const list = page.getElementById("thread");
      if (list) this.show(list);
      return true;
    }

    show(list) {
      const lines = [...list.children];
      const raw = lines.map((line) => line.outerHTML);
      let same = 0;
      while (same < raw.length && raw[same] === this.raw[same]) same += 1;
      if (same < raw.length || raw.length < this.raw.length) {
        const atEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 60;
        while (this.list.children.length > same) this.list.lastElementChild.remove();
        for (const line of lines.slice(same)) this.list.append(document.importNode(line, true));
        this.raw = raw;
        tell(this.list);
        if (atEnd) this.box.scrollTop = this.box.scrollHeight;
      }
      if (list.dataset.state !== this.state) this.moved();
    }

    /** Somebody else did something with it: say so and leave the reader's own words alone. */
    moved() {
      document.getElementById("moved").hidden = false;
    }
  }

  const box = document.querySelector("[data-live]");
  if (box) new Live(box).begin();
  tell(document);
  setInterval(() => tell(document), 30000);

  const text = document.querySelector("form.reply textarea");
  if (text) {
    document.querySelector("[data-hint]").hidden = false;
    text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        text.form.requestSubmit();
      }
    });
  }
})();
