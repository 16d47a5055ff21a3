// The draft orders: shown, edited, and changed by suggestions. A draft is a whole FHIR resource.

import { el } from "./dom.js";

const INDICATION = "https://lumbar-mri-cds.example/fhir/CodeSystem/indication";
const AS_WRITTEN = "";

export const refOf = (resource) => `${resource.resourceType}/${resource.id ?? "?"}`;

export function titleOf(resource) {
  const concept = resource.code ?? resource.medicationCodeableConcept ?? {};
  return concept.text ?? concept.coding?.find((c) => c.display)?.display ?? "order without a title";
}

export const bundleOf = (drafts) => ({
  resourceType: "Bundle",
  type: "collection",
  entry: drafts.map((resource) => ({ resource })),
});

/** Return the drafts in a Bundle. Throws an Error in words for people. */
export function draftsIn(bundle) {
  if (bundle?.resourceType !== "Bundle") throw new Error("This is not a FHIR Bundle.");
  return (bundle.entry ?? []).map((entry) => entry.resource).filter(Boolean);
}

/**
 * Return the drafts after the actions of a suggestion (CDS Hooks 2.0, Action): `create` adds,
 * `update` replaces the whole resource, `delete` takes `resourceId` away.
 */
export function applied(actions, drafts) {
  let after = [...drafts];
  for (const action of actions) {
    if (action.type === "create") {
      after.push({ id: freeId(after), ...action.resource });
    } else if (action.type === "update") {
      const ref = refOf(action.resource);
      const isThere = after.some((draft) => refOf(draft) === ref);
      after = isThere
        ? after.map((draft) => (refOf(draft) === ref ? action.resource : draft))
        : [...after, action.resource];
    } else if (action.type === "delete") {
      const gone = [action.resourceId ?? (action.resource && refOf(action.resource))].flat();
      after = after.filter((draft) => !gone.includes(refOf(draft)));
    }
  }
  return after;
}

/** Return a new draft of the orderable, beside the others. */
export function newDraft(orderable, drafts, context, today) {
  return {
    resourceType: "ServiceRequest",
    id: freeId(drafts),
    status: "draft",
    intent: "order",
    priority: "routine",
    code: orderable.concept,
    subject: { reference: `Patient/${context.patientId.split("/").pop()}` },
    authoredOn: today,
  };
}

function freeId(drafts) {
  const taken = new Set(drafts.map((draft) => draft.id));
  let number = drafts.length + 1;
  while (taken.has(`test-ehr-draft-${number}`)) number += 1;
  return `test-ehr-draft-${number}`;
}

/** Return one fieldset a draft; `change(index, draft)` is told of edits, null takes it away. */
export function editors(drafts, selected, offered, { change, select }) {
  return drafts.map((draft, index) => {
    const id = `draft-${index}`;
    const isOrder = draft.resourceType === "ServiceRequest";
    const edit = (changes) => change(index, without({ ...draft, ...changes }));
    return el(
      "fieldset",
      { class: "draft", "data-ref": refOf(draft) },
      el("legend", {}, titleOf(draft), " ", el("span", { class: "small" }, refOf(draft))),
      el(
        "label",
        { class: "check" },
        el("input", {
          type: "checkbox",
          id: `${id}-selected`,
          checked: selected.has(refOf(draft)),
          onchange: (event) => select(refOf(draft), event.target.checked),
        }),
        " selected (for order-select)",
      ),
      ...(isOrder ? orderFields(id, draft, offered, edit) : []),
      el(
        "button",
        { type: "button", class: "remove", onclick: () => change(index, null) },
        `Remove ${refOf(draft)}`,
      ),
    );
  });
}

function orderFields(id, draft, offered, edit) {
  const exam = offered.orderables.find((one) => sameCodes(one.concept, draft.code));
  const [coded, words, answers] = reasonsOf(draft);
  const reason = offered.reasons.find((one) => coded.length === 1 && sameCodes(one.concept, coded[0]));
  const written = coded.map((one) => one.text ?? one.coding[0].display ?? one.coding[0].code);
  const withReasons = (codedOnes, text) =>
    edit({ reasonCode: [...codedOnes, ...(text ? [{ text }] : []), ...answers] });
  return [
    choice(`${id}-exam`, "Exam and protocol", offered.orderables, exam?.id, titleOf(draft), (one) =>
      edit({ code: one.concept }),
    ),
    choice(
      `${id}-priority`,
      "Priority",
      offered.priorities.map((one) => ({ id: one, label: one })),
      draft.priority,
      draft.priority ?? "none",
      (one) => edit({ priority: one.id }),
    ),
    choice(
      `${id}-reason`,
      "Coded reason",
      [...offered.reasons, { id: "none", label: "no coded reason" }],
      coded.length ? reason?.id : "none",
      written.join("; ") || "none",
      (one) => withReasons(one.concept ? [one.concept] : [], words),
    ),
    el("label", { for: `${id}-words` }, "Reason in words"),
    el("input", {
      id: `${id}-words`,
      value: words,
      autocomplete: "off",
      onchange: (event) => withReasons(coded, event.target.value.trim()),
    }),
    answers.length
      ? el(
          "p",
          { class: "answers" },
          "Answered in this order: ",
          answers.map((one) => one.text ?? one.coding[0].display).join("; "),
        )
      : undefined,
  ];
}

function choice(id, label, options, chosen, asWritten, take) {
  const select = el(
    "select",
    {
      id,
      onchange: (event) => take(options.find((one) => one.id === event.target.value)),
    },
    chosen === undefined
      ? el("option", { value: AS_WRITTEN, disabled: true, selected: true }, `as written: ${asWritten}`)
      : undefined,
    ...options.map((one) => el("option", { value: one.id, selected: one.id === chosen }, one.label)),
  );
  return el("div", {}, el("label", { for: id }, label), select);
}

/** Return coded reasons, the reason in words, and answers that suggestions have written. */
function reasonsOf(draft) {
  const reasons = draft.reasonCode ?? [];
  const isAnswer = (one) => one.coding?.some((coding) => coding.system === INDICATION);
  const answers = reasons.filter(isAnswer);
  const others = reasons.filter((one) => !isAnswer(one));
  const words = others.filter((one) => !one.coding?.length && one.text).map((one) => one.text);
  return [others.filter((one) => one.coding?.length), words.join("; "), answers];
}

/** Two concepts that share a coding; or, where neither has one, their text. */
function sameCodes(one, other) {
  const keys = (concept) => (concept?.coding ?? []).map((c) => `${c.system}|${c.code}`);
  const [ours, theirs] = [keys(one), keys(other)];
  if (!ours.length && !theirs.length) return one?.text === other?.text;
  return ours.some((key) => theirs.includes(key)) && theirs.every((key) => ours.includes(key) || ours.length > 0);
}

/** FHIR has no empty lists. */
function without(resource) {
  return Object.fromEntries(
    Object.entries(resource).filter(([, value]) => !(Array.isArray(value) && value.length === 0)),
  );
}
