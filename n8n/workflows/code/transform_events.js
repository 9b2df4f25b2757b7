const records = events($input.first().json.body);
if (records === null) {
  const detail = 'send one login, an array of logins, or {"events": [...]}';
  return [{ json: { step: "answer", status: 422, body: { type: "about:blank", title: "Unprocessable Entity", status: 422, detail } } }];
}
return next(begin(records));
