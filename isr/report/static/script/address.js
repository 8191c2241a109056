/* address: what is looked at stands in it (#key=value&key=value), so that it can be sent, and Back works ------- */
const address = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
/* changes some keys; an empty value takes a key out. An entry of the history only where the reader went somewhere */
const go = (changes, { replace = false } = {}) => {
  const now = address();
  Object.entries(changes).forEach(([key, value]) => (value === "" || value === null ? now.delete(key) : now.set(key, value)));
  const hash = now.toString();
  history[replace ? "replaceState" : "pushState"](null, "", hash ? `#${hash}` : location.pathname + location.search);
  dispatchEvent(new Event("moved"));
};
addEventListener("popstate", () => dispatchEvent(new Event("moved")));
