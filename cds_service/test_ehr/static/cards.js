// Cards as an EHR shows them: indicator, text, suggestions, links, and the way to override.

import { el, nodesOf, outwardLink } from "./dom.js";

const SIGNS = { info: "i", warning: "!", critical: "!!" };

/**
 * Return one card. `accept(card, suggestion)` and `override(card, reason, comment)` do what the
 * clinician chose; both return a promise of a sentence that says what became of it.
 */
export function cardNode(card, detail, number, { accept, override }) {
  const id = `card-${number}`;
  const outcome = el("p", { class: "outcome", role: "status" });
  const node = el(
    "article",
    { class: `card ${card.indicator}`, "aria-labelledby": `${id}-summary`, "data-uuid": card.uuid },
    el(
      "p",
      { class: "indicator" },
      el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[card.indicator] ?? "?"),
      ` ${card.indicator}`,
    ),
    el("h3", { id: `${id}-summary` }, card.summary),
    el("div", { class: "detail" }, ...nodesOf(detail)),
    suggestions(card, accept),
    links(card),
    overriding(card, id, override, outcome),
    outcome,
    source(card),
  );
  return node;
}

function suggestions(card, accept) {
  if (!card.suggestions?.length) return undefined;
  return el(
    "ul",
    { class: "suggestions", "aria-label": "Suggestions" },
    ...card.suggestions.map((one) =>
      el(
        "li",
        {},
        el(
          "button",
          { type: "button", "data-uuid": one.uuid, onclick: () => accept(card, one) },
          one.label,
          one.isRecommended ? el("span", { class: "small" }, " (recommended)") : undefined,
        ),
      ),
    ),
  );
}

function links(card) {
  if (!card.links?.length) return undefined;
  return el(
    "ul",
    { "aria-label": "Links" },
    ...card.links.map((link) =>
      el(
        "li",
        {},
        link.type === "absolute" && /^https?:/.test(link.url)
          ? outwardLink(link.url, link.label)
          : `${link.label} (SMART app: not started by this EHR)`,
      ),
    ),
  );
}

function overriding(card, id, override, outcome) {
  const reasons = card.overrideReasons ?? [];
  const comment = el("textarea", { id: `${id}-comment`, rows: "2" });
  const radios = reasons.map((reason) =>
    el(
      "label",
      { class: "check" },
      el("input", { type: "radio", name: `${id}-reason`, value: reason.code }),
      ` ${reason.display ?? reason.code}`,
    ),
  );
  const button = el(
    "button",
    {
      type: "button",
      onclick: async () => {
        const chosen = radios.findIndex((label) => label.querySelector("input").checked);
        outcome.textContent = await override(card, reasons[chosen], comment.value.trim());
      },
    },
    "Override and keep the order",
  );
  return el(
    "details",
    { class: "override" },
    el("summary", {}, "Override this card"),
    reasons.length
      ? el("fieldset", {}, el("legend", {}, "Reason"), ...radios)
      : el("p", {}, "The service offers no reasons for this client."),
    el("label", { for: `${id}-comment` }, "Comment (optional)"),
    comment,
    button,
  );
}

function source(card) {
  const { label, url, topic } = card.source;
  return el(
    "p",
    { class: "source" },
    "Source: ",
    /^https:/.test(url ?? "") ? outwardLink(url, label) : label,
    topic ? el("span", { class: "small" }, ` Row ${topic.code}: ${topic.display ?? ""}`) : undefined,
  );
}
