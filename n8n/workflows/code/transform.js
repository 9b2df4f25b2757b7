// One record of the CRM becomes one login of POST /events/logins, by the rules in SETTINGS.fields.
//
// A rule is a path ("properties.email"), a list of rules of which the first that finds something counts, or an object:
// {"value": x} for a constant, {"path": p, "as": how, "map": {"theirs": "ours"}} for a value that has to be changed.

const REQUIRED = ["event_id", "crm_user_id", "organization_id", "product_id", "occurred_at"];
const DEEPEST = 100;
const LONGEST = 200_000;

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isNothing = (value) => value === undefined || value === null || value === "";

const CONVERSIONS = {
  epoch_ms: (value) => fromEpoch(Number(value)),
  epoch_s: (value) => fromEpoch(Number(value) * 1000),
  lower: (value) => String(value).toLowerCase(),
  text: (value) => String(value),
  utc: (value) => withZone(String(value).trim().replace(" ", "T")),
};

function fromEpoch(milliseconds) {
  if (!(Math.abs(milliseconds) <= 8.64e15)) throw new Error("a time is no number of (milli)seconds");
  return new Date(milliseconds).toISOString();
}

const withZone = (time) => (/(Z|[+-]\d\d(:?\d\d)?)$/i.test(time) ? time : `${time}Z`);

/** Return what a path such as "owner.emails.0" leads to, undefined where it ends early. */
function follow(record, path) {
  let value = record;
  for (const name of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

function apply(rule, record) {
  if (typeof rule === "string") return follow(record, rule);
  if (Array.isArray(rule)) return rule.map((one) => apply(one, record)).find((value) => !isNothing(value));
  if (Object.hasOwn(rule, "value")) return rule.value;
  const value = follow(record, rule.path);
  if (isNothing(value)) return undefined;
  const converted = rule.as ? CONVERSIONS[rule.as](value) : value;
  return rule.map && Object.hasOwn(rule.map, converted) ? rule.map[converted] : converted;
}

/** Return the value as JSON can carry it to any reader. Throws where it is nested too deeply. */
function portable(value, depth = 0) {
  if (depth > DEEPEST) throw new Error(`the record is nested more than ${DEEPEST} levels deep`);
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (Array.isArray(value)) return value.map((one) => portable(one, depth + 1));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([name, one]) => [name.toWellFormed(), portable(one, depth + 1)]);
  return Object.fromEntries(entries);
}

/** Throws where an id is a number that has lost digits: two people would become one. */
function demandExactIds(login) {
  for (const name of ["event_id", "crm_user_id", "organization_id"]) {
    if (Number.isInteger(login[name]) && !Number.isSafeInteger(login[name])) {
      throw new Error(`${name} is a number beyond 2^53, whose last digits are lost: the CRM has to send it as text`);
    }
  }
}

/**
 * Return what to send for a record. One without the required fields goes as it came: the server quarantines it once,
 * says what is missing and keeps the original. Throws where the record cannot be sent at all.
 */
function transform(record) {
  const whole = portable(record);
  const login = {};
  for (const [name, rule] of Object.entries(SETTINGS.fields)) {
    const value = apply(rule, whole);
    if (!isNothing(value)) login[name] = value;
  }
  const sent = REQUIRED.every((name) => Object.hasOwn(login, name)) ? login : whole;
  if (isObject(sent)) demandExactIds(sent);
  const size = Buffer.byteLength(JSON.stringify(sent));
  if (size > LONGEST) throw new Error(`the record has ${size} bytes; ${LONGEST} are the most`);
  return sent;
}

/** Return a record as a dead letter can hold it: as it is, or the beginning of its text. */
function shown(record) {
  try {
    const whole = portable(record);
    const text = JSON.stringify(whole);
    return Buffer.byteLength(text) <= LONGEST ? whole : text.slice(0, LONGEST / 4).toWellFormed();
  } catch {
    return "(a record that is nested too deeply to be shown)";
  }
}
