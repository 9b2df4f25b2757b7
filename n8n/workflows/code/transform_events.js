const records = events($input.first().json.body);
if (records === null) {
  const detail = 'send one login, an array of logins, or {"events": [...]}';
  const body = { type: "about:blank", title: "Unprocessable Entity", status: 422, detail };
  return [{ json: { step: "answer", status: 422, body } }];
}
return next(begin(records));
