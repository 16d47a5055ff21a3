// What goes over the wire. Hook calls and feedback go to the service itself, as from any EHR.

const PREFIX = "/test-ehr";

/** Post JSON; return status, body (JSON or text) and milliseconds. */
export async function post(path, body) {
  const started = performance.now();
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  const milliseconds = performance.now() - started;
  return { ok: answer.ok, status: answer.status, body: parsed(text), milliseconds };
}

/** Return the call that the chosen patient gives. Throws an Error in words for people. */
export async function openChart(search) {
  const answer = await fetch(`${PREFIX}/call${search}`);
  const body = parsed(await answer.text());
  if (!answer.ok) throw new Error(problemIn(body, answer.status));
  return body;
}

export const fireHook = (serviceId, request) => post(`/cds-services/${serviceId}`, request);

export const explain = (serviceId, request) => post(`${PREFIX}/explanations/${serviceId}`, request);

/** Return the Markdown trees of the cards' details, in their order. */
export async function detailsOf(cards) {
  const answer = await post(`${PREFIX}/markdown`, { texts: cards.map((card) => card.detail ?? "") });
  return answer.ok ? answer.body.trees : cards.map((card) => [card.detail ?? ""]);
}

export async function sendFeedback(serviceId, entry) {
  const body = { feedback: [{ ...entry, outcomeTimestamp: new Date().toISOString() }] };
  return { sent: body, ...(await post(`/cds-services/${serviceId}/feedback`, body)) };
}

/** Return what an OperationOutcome says. */
export function problemIn(body, status) {
  const issue = body?.issue?.[0];
  return `HTTP ${status}: ${issue?.diagnostics ?? issue?.details?.coding?.[0]?.code ?? "no reason given"}`;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
