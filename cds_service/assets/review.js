// Search in the tables of a review page. Without it the page is whole, only longer.
"use strict";
const input = document.getElementById("search");
const found = document.getElementById("found");
const isHeading = (element) => /^H[23]$/.test(element.tagName);

// Of each heading, the innermost first: what stands under it, down to the next of its rank.
const blocks = Array.from(document.querySelectorAll("main h2, main h3"), (heading) => {
  const under = [];
  let next = heading.nextElementSibling;
  while (next && !(isHeading(next) && next.tagName <= heading.tagName)) {
    under.push(next);
    next = next.nextElementSibling;
  }
  return { heading, under };
}).sort((one, other) => (one.heading.tagName < other.heading.tagName ? 1 : -1));
const rows = document.querySelectorAll("main tbody tr");
const tables = document.querySelectorAll("main table");
const items = document.querySelectorAll("main li");
const texts = document.querySelectorAll("main p, main ul, main ol");

function search() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (element) => {
    const text = element.textContent.toLowerCase();
    return words.every((word) => text.includes(word));
  };
  for (const each of [...rows, ...items, ...texts]) each.hidden = !matches(each);
  for (const table of tables) table.hidden = !table.querySelector("tbody tr:not([hidden])");
  for (const { heading, under } of blocks) {
    // A rule or fact that is named so is shown with all that is said of it.
    const isNamed = words.length > 0 && heading.tagName === "H3" && matches(heading);
    for (const each of isNamed ? under : []) {
      for (const part of [each, ...each.querySelectorAll("[hidden]")]) part.hidden = false;
    }
    heading.hidden = !isNamed && words.length > 0 && under.every((each) => each.hidden);
  }
  const shown = Array.from(rows).filter((row) => !row.hidden).length;
  found.textContent = words.length > 0 ? `${shown} of ${rows.length} rows` : "";
}

document.getElementById("searching").hidden = false;
input.addEventListener("input", search);
search();
