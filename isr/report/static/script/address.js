/* address: what is looked at stands in it (#key=value&key=value), so that it can be sent, and Back works ------- */
const inHash = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
let current = inHash();
let returning = false, owed = null; // on the way back to where an edit was opened; what came meanwhile is written there
const address = () => new URLSearchParams(current);
const moved = () => dispatchEvent(new Event("moved"));
const keep = (replace, state) => {
  const hash = current.toString();
  try {
    history[replace ? "replaceState" : "pushState"](state, "", hash ? `#${hash}` : location.pathname + location.search);
  } catch { /* browsers refuse many changes within seconds: the page is right, its address a few keys behind */ }
};
/* changes some keys; an empty value takes a key out. An entry of the history only where the reader went somewhere */
const go = (changes, { replace = false, opened = false } = {}) => {
  const before = current.toString();
  Object.entries(changes).forEach(([key, value]) => (value === "" || value === null ? current.delete(key) : current.set(key, value)));
  if (returning) owed = { state: opened ? { opened } : null };
  else if (current.toString() !== before) keep(replace, opened ? { opened } : replace ? history.state : null);
  moved();
};
/* an edit was closed: back to where it was opened, or, where it was not opened here, the address without it */
const leave = () => {
  if (!current.has("edit")) return;
  current.delete("edit");
  if (history.state && history.state.opened && !returning) { returning = true; history.back(); }
  else keep(true, null);
  moved();
};
const arrive = () => {
  if (returning) {
    returning = false;
    if (owed) { keep(false, owed.state); owed = null; return; }
  }
  const before = current.toString();
  current = inHash();
  if (current.toString() !== before) moved();
};
addEventListener("popstate", arrive);
addEventListener("hashchange", arrive);

/* checks: (address) => [key, what is wrong with it, in words] or null. What an address asks for and is not here is told, and ignored */
const checks = [];
const quoted = (text) => `“${text.length > 80 ? `${text.slice(0, 80)}…` : text}”`;
const tellAstray = () => {
  const wrong = checks.map((check) => check(address())).filter(Boolean);
  const said = wrong.length ? `The address asks for what is not here: ${wrong.map(([, words]) => words).join("; ")}.` : "";
  $("astray").hidden = !said;
  if ($("astray-said").textContent !== said) $("astray-said").textContent = said;
  $("astray-drop").onclick = () => go(Object.fromEntries(wrong.map(([key]) => [key, ""])), { replace: true });
};
