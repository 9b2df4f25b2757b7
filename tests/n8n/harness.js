// Runs a workflow's nodes as n8n would, as far as these workflows need it: Code nodes, Switch, HTTP Request, Respond.
// In:  {workflow, start: {node, items}, answers: {node: [[answer, ...] per call]}, static}; without an answer
//      everything is accepted, with an empty one nobody answers
// Out: {calls: [{node, method, url, headers, query, body}], responses, static, error}
"use strict";
const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;

/** How a server answers that takes everything. */
function accept({ json: { body, key } }) {
  const results = body?.events?.map((event) => ({ event_id: event?.event_id ?? null, status: "accepted" }));
  return { statusCode: 202, data: JSON.stringify(results ? { results } : { review_id: `review of ${key}` }) };
}

function run({ workflow, start, answers = {}, static: saved = {}, steps = 500 }) {
  const nodes = new Map(workflow.nodes.map((node) => [node.name, node]));
  const outputs = new Map();
  const runs = new Map();
  const calls = [];
  const responses = [];

  const evaluate = (value, $json) => {
    if (typeof value !== "string" || !value.startsWith("=")) return value;
    const whole = value.match(/^=\{\{(.*)\}\}$/s);
    return new Function("$json", `return (${whole[1]});`)($json);
  };

  const pairs = (list, $json) =>
    Object.fromEntries((list?.parameters ?? []).map((p) => [p.name, evaluate(p.value, $json)]));

  const reach = (name) => {
    if (!outputs.has(name)) throw new Error(`node ${name} has not run`);
    const branch = (index = 0) => outputs.get(name)[index] ?? [];
    return { first: (index) => branch(index)[0], all: branch, isExecuted: true };
  };

  const execute = {
    code: async (node, items) => {
      const names = ["$input", "$json", "$", "$getWorkflowStaticData", "$runIndex", "require", "process"];
      const input = { all: () => items, first: () => items[0] };
      const code = new AsyncFunction(...names, `"use strict";\n${node.parameters.jsCode}`);
      const result = await code(input, items[0]?.json, reach, () => saved, runs.get(node.name) - 1);
      return [structuredClone(result)];
    },
    switch: async (node, items) => {
      const rules = node.parameters.rules.values.map((rule) => rule.conditions.conditions[0]);
      return rules.map((rule) => items.filter((item) => evaluate(rule.leftValue, item.json) === rule.rightValue));
    },
    httpRequest: async (node, items) => {
      const { method, url, headerParameters, queryParameters, jsonBody } = node.parameters;
      for (const { json } of items) {
        const body = evaluate(jsonBody, json);
        const [headers, query] = [pairs(headerParameters, json), pairs(queryParameters, json)];
        calls.push({ node: node.name, method, url, headers, query, body });
      }
      const given = answers[node.name]?.shift() ?? items.map(accept);
      return [items.map((_, i) => ({ json: given[i] ?? { error: "connect ECONNREFUSED" } }))];
    },
    respondToWebhook: async (node, items) => {
      const { responseBody, options } = node.parameters;
      const { json } = items[0];
      responses.push({ status: evaluate(options.responseCode, json), body: evaluate(responseBody, json) });
      return [items];
    },
  };

  const go = async () => {
    outputs.set(start.node, [start.items]);
    const waiting = [[start.node, start.items]];
    while (waiting.length) {
      if ((steps -= 1) < 0) throw new Error("the workflow does not end");
      const [name, items] = waiting.shift();
      const node = nodes.get(name);
      const kind = node.type.split(".").at(-1);
      runs.set(name, (runs.get(name) ?? 0) + 1);
      if (name !== start.node) outputs.set(name, await execute[kind](node, items));
      (workflow.connections[name]?.main ?? []).forEach((branch, i) => {
        const going = outputs.get(name)[i] ?? [];
        if (going.length) (branch ?? []).forEach((to) => waiting.push([to.node, going]));
      });
    }
  };
  return go().then(
    () => ({ calls, responses, static: saved, error: null }),
    (error) => ({ calls, responses, static: saved, error: error.message }),
  );
}

/** Call one function of the code, with SETTINGS and all: {code, call, arguments}. */
function call({ code, call: name, arguments: given }) {
  return new Function(`"use strict";\n${code}\nreturn ${name};`)()(...given);
}

let text = "";
process.stdin.on("data", (chunk) => (text += chunk));
process.stdin.on("end", async () => {
  const asked = JSON.parse(text);
  const results = [];
  for (const one of asked) {
    try {
      results.push(one.workflow ? await run(one) : { value: call(one) });
    } catch (error) {
      results.push({ error: error.message });
    }
  }
  process.stdout.write(JSON.stringify(results));
});
