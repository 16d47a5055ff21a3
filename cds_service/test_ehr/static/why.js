// Why the answer came out as it did: the rows that were tried, and the facts.

import { el } from "./dom.js";

/** Return the nodes for every order that was judged. */
export function whyNodes(explanation) {
  if (!explanation.orders.length) {
    return [el("p", {}, "No lumbar MRI among the orders in question (row G0): nothing was judged.")];
  }
  return explanation.orders.flatMap(orderNodes);
}

function orderNodes(order) {
  return [
    el("h3", {}, `${order.order}: row ${order.row}`),
    list("Would change the row, if it were known", order.missing),
    list("Softened, because", order.brakes),
    list("Could not be read", order.unreadable),
    ...(order.tables ?? []).map((table, index) => tableNode(table, index === 0)),
    factsNode(order.facts ?? []),
  ].filter(Boolean);
}

function list(title, lines) {
  return lines?.length ? el("p", {}, el("strong", {}, `${title}: `), lines.join("; ")) : undefined;
}

function tableNode(table, isOpen) {
  const steps = table.steps ?? [];
  const held = steps.filter((step) => step.held).map((step) => step.row);
  const title = `Table ${table.table}: ${held.join(", ") || "no row holds"} (${steps.length} tried)`;
  return el(
    "details",
    { class: "trace", open: isOpen },
    el("summary", {}, title),
    scrolling(
      title,
      ["Row", "Rule", "Result"],
      steps.map((step) => [
        step.row,
        el("span", {}, step.says, el("br"), el("code", {}, step.rule)),
        step.held
          ? el("strong", {}, "holds")
          : el("div", {}, "does not hold:", unmetNode(step.unmet ?? [])),
      ]),
    ),
  );
}

function unmetNode(lines) {
  return el("ul", {}, ...lines.map((line) => el("li", {}, line)));
}

function factsNode(facts) {
  const title = `Facts: ${facts.length} found, all others are unknown`;
  return el(
    "details",
    { class: "trace" },
    el("summary", {}, title),
    scrolling(
      title,
      ["Fact", "Value", "Evidence"],
      facts.map((fact) => [
        el("span", {}, `${fact.number} ${fact.says}`, el("br"), el("code", {}, fact.fact)),
        fact.value,
        (fact.evidence ?? [])
          .map((one) => [one.text, ...(one.resources ?? [])].filter(Boolean).join(" – "))
          .join("; "),
      ]),
    ),
  );
}

/** A table that scrolls by itself, by keyboard too, so that the page never has to. */
function scrolling(title, heads, rows) {
  return el(
    "div",
    { class: "scrolling", tabindex: "0", role: "region", "aria-label": title },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, ...rows.map((cells) => el("tr", {}, ...cells.map((cell) => el("td", {}, cell))))),
    ),
  );
}
