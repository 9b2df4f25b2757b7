// SHA-256 (FIPS 180-4). A Code node may not load Node's crypto, and an Idempotency-Key must tell contents apart.

function firstPrimes(count) {
  const primes = [];
  for (let n = 2; primes.length < count; n += 1) {
    if (primes.every((prime) => n % prime)) primes.push(n);
  }
  return primes;
}

const fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
const turned = (x, by) => (x >>> by) | (x << (32 - by));
const ROUNDS = firstPrimes(64).map((prime) => fraction(Math.cbrt(prime)));
const START = firstPrimes(8).map((prime) => fraction(Math.sqrt(prime)));

/** Return the bytes of a text with a 1 bit, zeros and the length in bits behind them, a multiple of 64 in all. */
function padded(text) {
  const bytes = Buffer.from(text, "utf8");
  const whole = Buffer.alloc(Math.ceil((bytes.length + 9) / 64) * 64);
  bytes.copy(whole);
  whole[bytes.length] = 0x80;
  whole.writeUInt32BE(Math.floor(bytes.length / 2 ** 29), whole.length - 8);
  whole.writeUInt32BE((bytes.length * 8) % 2 ** 32, whole.length - 4);
  return whole;
}

function schedule(bytes, offset, words) {
  for (let i = 0; i < 16; i += 1) words[i] = bytes.readInt32BE(offset + i * 4);
  for (let i = 16; i < 64; i += 1) {
    const [a, b] = [words[i - 15], words[i - 2]];
    const low = turned(a, 7) ^ turned(a, 18) ^ (a >>> 3);
    const high = turned(b, 17) ^ turned(b, 19) ^ (b >>> 10);
    words[i] = (words[i - 16] + low + words[i - 7] + high) | 0;
  }
}

function compress(state, words) {
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i += 1) {
    const chosen = (e & f) ^ (~e & g);
    const major = (a & b) ^ (a & c) ^ (b & c);
    const one = (h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + chosen + ROUNDS[i] + words[i]) | 0;
    const two = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + major) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
  }
  return [a, b, c, d, e, f, g, h].map((word, i) => (word + state[i]) | 0);
}

/** Return the digest of a text's UTF-8 as 64 hexadecimal digits. */
function sha256(text) {
  const bytes = padded(text);
  const words = new Int32Array(64);
  let state = START;
  for (let offset = 0; offset < bytes.length; offset += 64) {
    schedule(bytes, offset, words);
    state = compress(state, words);
  }
  return state.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}
