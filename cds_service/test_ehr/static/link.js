// The state of the page as a link. Which patient stands in the query; drafts stand behind the `#`,
// which no server and no log ever sees.

/** Return the drafts, the selection and the hook that the address holds. */
export function stateInLink() {
  const hook = new URLSearchParams(location.search).get("fire") ?? "";
  try {
    const { drafts, selected } = JSON.parse(decoded(location.hash.slice(1)));
    return { hook, drafts, selected };
  } catch {
    return { hook };
  }
}

/** Return the address that brings the page back as it is. */
export function linkTo({ drafts, selected, hook }) {
  const query = new URLSearchParams(location.search);
  if (hook) query.set("fire", hook);
  const held = JSON.stringify({ drafts, selected: [...selected] });
  return `${location.pathname}?${query}#${encoded(held)}`;
}

function encoded(text) {
  const bytes = Array.from(new TextEncoder().encode(text), (byte) => String.fromCodePoint(byte));
  return btoa(bytes.join("")).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function decoded(text) {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.codePointAt(0));
  return new TextDecoder().decode(bytes);
}
