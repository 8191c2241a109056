/* filters: what the address asks for is shown; a control only changes the address ---------------------------------------- */
const controlOf = (key) => $(key === "q" ? "f-text" : `f-${key}`);
const wordOf = (key, value) => (key === "outcome" && value ? OUTCOMES[value] : value); // an outcome's control has its number
const valueOf = (key, word) => (key === "outcome" && word ? String(OUTCOMES.indexOf(word)) : word);

const FIRST = ["method", "editor"]; // on a phone the others come when they are asked for
const addControl = ({ key, label, options }) => {
  const id = `f-${key}`, box = make("label", { class: FIRST.includes(key) ? null : "more" }, `${label} `);
  if (options.length <= MANY) {
    box.append(make("select", { id }, make("option", { value: "", text: "all" }), ...options.map(([word, text]) => make("option", { value: word, text: text.slice(0, 60) }))));
  } else {
    const list = make("datalist", { id: `l-${facets.findIndex((f) => f.key === key)}` }, ...options.map(([word, text]) => make("option", { value: word, label: text === word ? null : text.slice(0, 80) })));
    box.append(make("input", { id, list: list.id, placeholder: `all ${options.length.toLocaleString("en")}`, autocomplete: "off", spellcheck: "false" }), list);
  }
  $("f-sort").closest("label").before(box);
};
let typing = ""; // the key of the control that is written in: its text is left as it is
const controls = () => {
  const at = address();
  const set = (key, value) => { const control = controlOf(key); if (key !== typing && control.value !== value) control.value = value; };
  facets.forEach(({ key, test }) => set(key, test(at.get(key) || "") ? valueOf(key, at.get(key)) : ""));
  set("q", at.get("q") || "");
  set("sort", Object.hasOwn(ORDERS, at.get("sort") || "") ? at.get("sort") : "");
  if (facets.some(({ key, fixed }) => !fixed && !FIRST.includes(key) && at.has(key))) every(true);
  $("f-clear").hidden = !FILTERS().some((key) => at.has(key));
};
const every = (open) => {
  $("filters").classList.toggle("every", open);
  $("f-more").setAttribute("aria-expanded", String(open));
  $("f-more").textContent = open ? "Fewer filters" : "More filters";
};
const FILTERS = () => [...facets.map(({ key }) => key), "q", "set"];
const written = (event) => {
  const key = event.target.id === "f-text" ? "q" : event.target.id.slice(2), value = event.target.value;
  const facet = facets.find((f) => f.key === key);
  const isTyped = event.target.tagName === "INPUT" && event.type === "input";
  if (isTyped && facet && value && !facet.test(value)) return; // not a value yet
  if ((address().get(key) || "") === wordOf(key, value)) return;
  typing = event.target.tagName === "INPUT" ? key : "";
  go({ [key]: wordOf(key, value) }, { replace: key === "q" });
  typing = "";
};

let asked = null, chosenBy = [];
const OF_OUTCOMES = ["outcome", "verdict", "control", "labels", "set", "q"]; // what edits came to, not what they are of
const filter = () => {
  const at = address();
  ["edit", "view", "source", "look", "desk", "baseline"].forEach((key) => at.delete(key));
  if (at.toString() === asked) return;
  asked = at.toString();
  const words = (at.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
  const set = setOf(at.get("set") || "");
  const tests = facets.map(({ key, test }) => at.has(key) && test(at.get(key))).filter(Boolean);
  if (set.words) tests.push(set.test);
  shown = all.filter((x) => tests.every((test) => test(x)) && words.every((word) => x.text.includes(word)));
  const order = Object.hasOwn(ORDERS, at.get("sort") || "") ? ORDERS[at.get("sort")] : set.order;
  if (order) shown.sort(order);
  chosenBy = OF_OUTCOMES.filter((key) => at.get(key));
  $("count").textContent = shown.length === all.length ? `${all.length}` : `${shown.length} of ${all.length}`;
  $("set-said").hidden = !set.words;
  $("set-words").textContent = set.words;
  focused = 0;
  layout();
  slice();
};
const beginFilters = () => {
  makeFacets();
  facets.filter((facet) => !facet.fixed).forEach(addControl);
  facets.forEach(({ key, label, test }) => checks.push((at) => (at.has(key) && !test(at.get(key)) ? [key, `no ${label.toLowerCase()} ${quoted(at.get(key))} in this report`] : null)));
  checks.push((at) => (at.has("sort") && !Object.hasOwn(ORDERS, at.get("sort")) ? ["sort", `no order ${quoted(at.get("sort"))}`] : null));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("input", written);
  $("filters").addEventListener("change", written);
  $("f-more").addEventListener("click", () => every(!$("filters").classList.contains("every")));
  $("f-clear").addEventListener("click", () => { $("f-text").focus(); go(Object.fromEntries(FILTERS().map((key) => [key, ""]))); });
  $("set-all").addEventListener("click", () => { $("f-text").focus(); go({ set: "" }); });
};
