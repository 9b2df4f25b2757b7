// What is sent next. The state travels with the items: {queue: batches of [{index, login}], dead: [{index, event_id,
// letter, key}], told: keys of dead letters that were sent by an earlier run, results: one per record, in order}.
// Each workflow adds finish(state): what follows when everything was sent.

const MOST_BYTES = 1_000_000;
const NOT_THE_RECORDS_FAULT = new Set([401, 403, 404, 405, 408, 425, 429]); // a wrong key or address, or too early

/** The same content has the same key, so that a repeat gets the answer of the first. */
const keyOf = (body) => `n8n-${sha256(JSON.stringify(body))}`;

/** Transform every record; one that fails costs the others nothing. */
function begin(records, more) {
  const state = { queue: [], dead: [], told: [], results: records.map(() => null), ...more };
  const good = [];
  records.forEach((record, index) => {
    try {
      good.push({ index, login: transform(record) });
    } catch (error) {
      bury(state, index, record, error.message, "Transform");
    }
  });
  state.queue = batches(good);
  return state;
}

function batches(entries) {
  const made = [];
  let room = 0;
  for (const entry of entries) {
    const size = Buffer.byteLength(JSON.stringify(entry.login)) + 1;
    if (!made.length || made.at(-1).length >= SETTINGS.batch_size || size > room) {
      made.push([]);
      room = MOST_BYTES;
    }
    made.at(-1).push(entry);
    room -= size;
  }
  return made;
}

/** Put a record among the dead letters. No execution id: a repeat must be the same letter. */
function bury(state, index, record, error, node) {
  const told = `${error}`.slice(0, 2000).toWellFormed();
  const letter = { workflow: SETTINGS.workflow, node, record: shown(record), error: told };
  const id = isObject(record) && typeof record.event_id === "string" ? record.event_id.slice(0, 200) : null;
  state.dead.push({ index, event_id: id, letter, key: keyOf(letter) });
}

/** Return the items to go on with. */
function next(state) {
  if (state.queue.length) {
    const body = { events: state.queue[0].map((entry) => entry.login) };
    return [{ json: { step: "logins", key: keyOf(body), body, state } }];
  }
  const fresh = state.dead.filter((dead) => !state.told.includes(dead.key));
  if (fresh.length) {
    const items = fresh.map((dead) => ({ json: { step: "dead_letters", key: dead.key, body: dead.letter } }));
    items[0].json.state = state;
    return items;
  }
  return finish(state);
}

const failed = (error) => [{ json: { step: "failed", error } }];

/** Read an answer of the server: {status, body}, status 0 where there was none. */
function read(answer) {
  if (typeof answer.statusCode !== "number") {
    const error = answer.error;
    return { status: 0, body: null, told: `no answer (${error?.message ?? error ?? "unknown"})` };
  }
  let body = null;
  try {
    body = JSON.parse(answer.data);
  } catch {
    // An answer that is not JSON is not the server's own: its status tells enough.
  }
  return { status: answer.statusCode, body, told: `${answer.statusCode} ${body?.detail ?? ""}`.trim() };
}

/** What became of the first batch. */
function afterLogins(state, answer) {
  const { status, body, told } = read(answer);
  const batch = state.queue[0];
  if (status === 202 && body?.results?.length === batch.length) {
    batch.forEach((entry, i) => { state.results[entry.index] = body.results[i]; });
  } else if (status >= 400 && status < 500 && !NOT_THE_RECORDS_FAULT.has(status)) {
    const error = `POST /events/logins answered ${told}`;
    batch.forEach((entry) => bury(state, entry.index, entry.login, error, "Post logins"));
  } else {
    return failed(`POST /events/logins: ${told}`);
  }
  state.queue.shift();
  return next(state);
}

/** What became of the dead letters. Unless the server has them all, the run has failed. */
function afterDeadLetters(state, answers) {
  const fresh = state.dead.filter((dead) => !state.told.includes(dead.key));
  for (const [i, dead] of fresh.entries()) {
    const { status, body, told } = read(answers[i] ?? {});
    if (status !== 202 || !body?.review_id) return failed(`POST /dead-letters: ${told}`);
    const reason = dead.letter.error;
    state.results[dead.index] = { event_id: dead.event_id, status: "dead_lettered", reason, review_id: body.review_id };
    state.told.push(dead.key);
  }
  return next(state);
}

function counted(results) {
  const counts = { accepted: 0, duplicate: 0, quarantined: 0, dead_lettered: 0 };
  for (const result of results) counts[result?.status ?? "dead_lettered"] += 1;
  return counts;
}
