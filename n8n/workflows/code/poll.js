// The poll reads the CRM page by page. The cursor moves when the server has everything that was on the page.

/** Understand a page. Throws where it is none: the cursor stays and the run has failed. */
function page(answer) {
  if (answer.statusCode !== 200) throw new Error(`the CRM answered ${answer.statusCode}`);
  let body;
  try {
    body = JSON.parse(answer.data);
  } catch {
    throw new Error("the CRM's answer is not JSON");
  }
  const items = follow(body, SETTINGS.items);
  const cursor = follow(body, SETTINGS.next_cursor) ?? null;
  if (!Array.isArray(items)) throw new Error(`the CRM's answer has no list under ${SETTINGS.items}`);
  if (cursor !== null && !["string", "number"].includes(typeof cursor)) throw new Error("the CRM's cursor is no text");
  return { items, next: cursor === null || cursor === "" ? null : String(cursor) };
}

/** Args: pages: read so far in this run. */
function beginPage(answer, saved, pages) {
  const { items, next: cursor } = page(answer);
  return begin(items, { told: [...(saved.told ?? [])], next: cursor, pages });
}

/** Save the cursor, and read on unless that was the last page, or enough for one run. */
function finish(state) {
  const saved = $getWorkflowStaticData("global");
  const isMore = state.next !== null && state.next !== saved.cursor;
  if (isMore) saved.cursor = state.next;
  saved.told = state.dead.map((dead) => dead.key); // the last page is read again: its dead letters are sent once
  const report = { pages: state.pages, ...counted(state.results) };
  const goesOn = isMore && state.pages < SETTINGS.pages_per_run;
  return [{ json: goesOn ? { step: "page", cursor: state.next, ...report } : { step: "done", ...report } }];
}
