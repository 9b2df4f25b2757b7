// The webhook takes one event, an array, or {"events": [...]}, and answers one result per event, in the order sent.

function events(body) {
  if (Array.isArray(body)) return body;
  if (!isObject(body)) return null;
  return Array.isArray(body.events) ? body.events : [body];
}

function finish(state) {
  return [{ json: { step: "answer", status: 200, body: { results: state.results, ...counted(state.results) } } }];
}
