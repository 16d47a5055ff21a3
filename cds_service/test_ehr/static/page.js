// The EHR: opens a chart, holds the drafts, fires hooks, does what the clinician chooses.

import { cardNode } from "./cards.js";
import { asJson, byId, el } from "./dom.js";
import { applied, bundleOf, draftsIn, editors, newDraft, refOf } from "./drafts.js";
import { linkTo, stateInLink } from "./link.js";
import { detailsOf, explain, fireHook, openChart, problemIn, sendFeedback } from "./wire.js";
import { whyNodes } from "./why.js";

const state = { opened: null, drafts: [], selected: new Set(), hook: "", firing: 0 };

async function start() {
  document.querySelector(".skip").addEventListener("click", (event) => {
    // What stands behind the `#` is the state of the page, so the link must not be followed.
    event.preventDefault();
    byId("answer-heading").focus();
  });
  const linked = stateInLink();
  try {
    state.opened = await openChart(location.search);
  } catch (error) {
    byId("banner").textContent = `No chart: ${error.message}`;
    return;
  }
  const { call, says, expected, patient } = state.opened;
  byId("banner").textContent = `Chart of ${patient}`;
  byId("says").textContent = says ? `${says} Worked out by hand: ${rowsOf(expected)}.` : "";
  state.drafts = linked.drafts ?? draftsIn(call.context.draftOrders);
  state.selected = new Set(linked.selected ?? call.context.selections ?? state.drafts.map(refOf));
  state.hook = linked.hook;
  listen();
  showDrafts();
  if (state.hook) await fire(state.hook);
}

function listen() {
  // A link to another state of the same page, pasted into the address bar.
  window.addEventListener("hashchange", () => location.reload());
  for (const button of document.querySelectorAll("button[data-hook]")) {
    button.disabled = false;
    button.addEventListener("click", () => busily(() => fireAndGo(button.dataset.hook)));
  }
  byId("add-mri").addEventListener("click", () => add("without"));
  byId("add-knee").addEventListener("click", () => add("knee"));
  byId("use-json").addEventListener("click", takeJson);
}

function showDrafts(focusId) {
  byId("drafts").replaceChildren(
    ...editors(state.drafts, state.selected, state.opened, { change: edit, select }),
  );
  if (!state.drafts.length) byId("drafts").append(el("p", {}, "There is no draft order."));
  byId("drafts-json").value = asJson(bundleOf(state.drafts));
  if (focusId) byId(focusId)?.focus();
  keepLink();
}

function edit(index, draft) {
  const focused = document.activeElement?.id;
  state.drafts = state.drafts.flatMap((one, place) => (place !== index ? [one] : draft ? [draft] : []));
  showDrafts(draft ? focused : "add-mri");
}

function select(ref, isSelected) {
  if (isSelected) state.selected.add(ref);
  else state.selected.delete(ref);
  keepLink();
}

function add(id) {
  const orderable = state.opened.orderables.find((one) => one.id === id);
  const { call, today } = state.opened;
  const draft = newDraft(orderable, state.drafts, call.context, today);
  state.drafts = [...state.drafts, draft];
  state.selected.add(refOf(draft));
  showDrafts(`draft-${state.drafts.length - 1}-exam`);
}

function takeJson() {
  try {
    state.drafts = draftsIn(JSON.parse(byId("drafts-json").value));
    byId("json-problem").textContent = "";
    for (const draft of state.drafts) state.selected.add(refOf(draft));
    showDrafts();
  } catch (error) {
    byId("json-problem").textContent = `Not used: ${error.message}`;
  }
}

/** Do what takes a while; until it is done, the answer is marked as about to change. */
async function busily(work) {
  byId("answer").setAttribute("aria-busy", "true");
  try {
    return await work();
  } finally {
    byId("answer").setAttribute("aria-busy", "false");
  }
}

/** Fire because the clinician asked: the answer gets the focus. */
async function fireAndGo(hook) {
  await fire(hook);
  byId("answer-heading").focus();
}

async function fire(hook) {
  const turn = ++state.firing;
  state.hook = hook;
  keepLink();
  const serviceId = state.opened.services[hook];
  const request = requestFor(hook);
  byId("request").textContent = asJson(request);
  for (const id of ["cards", "why", "response"]) byId(id).replaceChildren();
  say(`Asking the service (${hook}) …`);
  let answer;
  try {
    answer = await fireHook(serviceId, request);
  } catch (error) {
    say(`The service did not answer: ${error.message}`);
    return;
  }
  if (turn !== state.firing) return;
  byId("response").textContent = asJson(answer.body);
  byId("timing").textContent =
    `${hook}: HTTP ${answer.status} after ${answer.milliseconds.toFixed(0)} ms, seen from the browser.`;
  if (!answer.ok) {
    say(`No advice. ${problemIn(answer.body, answer.status)}`);
    return;
  }
  const cards = answer.body.cards;
  const details = await detailsOf(cards);
  if (turn !== state.firing) return;
  byId("cards").replaceChildren(
    ...cards.map((card, index) => cardNode(card, details[index], index, offers)),
  );
  say(summaryOf(cards, answer.body));
  await showWhy(serviceId, request, turn);
}

const offers = {
  accept: (card, suggestion) => busily(() => accept(card, suggestion)),
  override,
};

async function showWhy(serviceId, request, turn) {
  const answer = await explain(serviceId, request);
  if (turn !== state.firing) return;
  if (!answer.ok) {
    byId("why").replaceChildren(el("p", {}, problemIn(answer.body, answer.status)));
    return;
  }
  byId("why").replaceChildren(...whyNodes(answer.body));
  const { readingMs, judgingMs } = answer.body.timing;
  byId("timing").append(` Of a second, unrecorded run: ${readingMs} ms reading, ${judgingMs} ms judging.`);
  showTimelines(answer.body.orders);
}

/** An SVG text in `timeline` of an order is shown as an image, so that nothing in it can act. */
function showTimelines(orders) {
  const drawn = orders.filter((order) => order.timeline);
  byId("timeline").hidden = !drawn.length;
  byId("timelines").replaceChildren(
    ...drawn.map((order) =>
      el("img", {
        src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(order.timeline)}`,
        alt: order.timelineText ?? `Timeline for ${order.order}`,
      }),
    ),
  );
}

function requestFor(hook) {
  const { call } = state.opened;
  const { selections, ...context } = call.context;
  context.draftOrders = bundleOf(state.drafts);
  if (hook === "order-select") {
    context.selections = state.drafts.map(refOf).filter((ref) => state.selected.has(ref));
  }
  return { ...call, hook, hookInstance: crypto.randomUUID(), context };
}

/** Take the suggestion: the drafts change, the service is told, the hook fires again. */
async function accept(card, suggestion) {
  state.drafts = applied(suggestion.actions ?? [], state.drafts);
  for (const action of suggestion.actions ?? []) {
    if (action.resource?.id) state.selected.add(refOf(action.resource));
  }
  const accepted = { card: card.uuid, outcome: "accepted", acceptedSuggestions: [{ id: suggestion.uuid }] };
  showDrafts();
  await report(accepted, `accepted “${suggestion.label}”`);
  if (state.drafts.length) {
    await fireAndGo(state.hook);
  } else {
    byId("cards").replaceChildren();
    say("The last draft was removed: there is nothing left to order, so no hook fires.");
    byId("answer-heading").focus();
  }
}

async function override(card, reason, comment) {
  const overrideReason = {
    ...(reason ? { reason: { code: reason.code, system: reason.system } } : {}),
    ...(comment ? { userComment: comment } : {}),
  };
  const entry = { card: card.uuid, outcome: "overridden" };
  if (Object.keys(overrideReason).length) entry.overrideReason = overrideReason;
  return report(entry, `overridden${reason ? `: ${reason.display ?? reason.code}` : ""}`);
}

async function report(entry, words) {
  const { sent, ok, status, body } = await sendFeedback(state.opened.services[state.hook], entry);
  const became = ok ? `received (HTTP ${status})` : problemIn(body, status);
  byId("feedback").append(
    el(
      "li",
      {},
      `${words}: ${became}`,
      el(
        "details",
        {},
        el("summary", {}, "Feedback and its answer"),
        el("pre", { tabindex: "0", role: "region", "aria-label": "Feedback" }, asJson(sent), "\n\n", asJson(body)),
      ),
    ),
  );
  return `${words[0].toUpperCase()}${words.slice(1)}. Feedback ${became}.`;
}

function summaryOf(cards, body) {
  const decisions = body.extension?.["org.lumbar-mri-cds.decisions"] ?? [];
  const rows = decisions.map((one) =>
    [one.row, one.overlay, one.protocolRow, ...(one.safety ?? [])].filter(Boolean).join(" + "),
  );
  const judged = rows.length ? ` Row ${rows.join("; ")}.` : " No lumbar MRI order in question.";
  if (!cards.length) return `No card: the service has nothing to say about this order.${judged}`;
  const said = cards.map((card) => `${card.indicator}: ${card.summary}`).join(" – ");
  return `${cards.length} ${cards.length === 1 ? "card" : "cards"}. ${said}.${judged}`;
}

function rowsOf(expected) {
  const rows = Object.entries(expected).map(([name, value]) => `${name} ${[value].flat().join(", ") || "none"}`);
  return rows.join(", ") || "see the story";
}

function keepLink() {
  const link = linkTo(state);
  history.replaceState(null, "", link);
  byId("link").href = link;
}

function say(words) {
  byId("status").textContent = words;
}

busily(start);
