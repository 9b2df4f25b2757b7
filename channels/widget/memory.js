/** What this browser remembers of a visitor: who it is, and what it wrote that has not arrived yet. */
class Memory {
  constructor(key) {
    this.key = key;
    this.kept = {};
  }

  read() {
    try {
      return JSON.parse(localStorage.getItem(this.key)) || this.kept;
    } catch {
      return this.kept; // storage is off: this page's life has to do
    }
  }

  write(changes) {
    this.kept = { ...this.read(), ...changes };
    try {
      localStorage.setItem(this.key, JSON.stringify(this.kept));
    } catch {
      // as above
    }
  }

  get unsent() {
    return this.read().unsent || [];
  }

  hold(message) {
    this.write({ unsent: [...this.unsent, message].slice(-50) });
  }

  drop(id) {
    this.write({ unsent: this.unsent.filter((message) => message.id !== id) });
  }
}

