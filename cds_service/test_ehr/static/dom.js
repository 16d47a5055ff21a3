// Nodes are built one by one from values: no text ever becomes markup (the page's policy forbids it).

const DETAIL_TAGS = new Set([
  "a", "blockquote", "br", "code", "em", "h4", "hr", "li", "ol", "p", "pre", "span", "strong",
  "table", "tbody", "td", "th", "thead", "tr", "ul",
]);

/** Return an element; attributes whose value is false or undefined are left out. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick" || name === "onchange") {
      element.addEventListener(name.slice(2), value);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

/** Return a link that leaves the page in a new window, without telling where it came from. */
export function outwardLink(href, label) {
  return el("a", { href, target: "_blank", rel: "noopener noreferrer" }, label, " (opens a new tab)");
}

/** Return the nodes of a Markdown tree that the server has made (`markdown_tree.py`). */
export function nodesOf(tree) {
  return tree.map((node) => {
    if (typeof node === "string") return document.createTextNode(node);
    const children = nodesOf(node.children);
    if (!DETAIL_TAGS.has(node.tag)) return el("span", {}, ...children);
    if (node.tag === "a" && /^https?:/.test(node.href)) {
      return el("a", { href: node.href, target: "_blank", rel: "noopener noreferrer" }, ...children);
    }
    return el(node.tag, {}, ...children);
  });
}

export const byId = (id) => document.getElementById(id);
export const asJson = (value) => JSON.stringify(value, null, 2);
