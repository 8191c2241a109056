/* facets: one filter for each column with more than one value, and the key of the address that holds it ----------------- */
const MANY = 40; // values from which a list that can be typed into takes the place of one to choose from
const collator = new Intl.Collator("en", { numeric: true });
/* { key, label, options: [[word in the address, text]], test: (word) => predicate or null }; fixed: its control stands in the template */
const facets = [];
const SAID = ["fails", "does not fail", "undecided"];
const VERDICT_TESTS = {
  semantic: (x, judge) => (judge < 0 ? x.fails.semantic : x.v[judge]?.[0] === 0),
  perceptual: (x, judge) => (judge < 0 ? x.fails.perceptual : x.v[judge]?.[4] === 0),
  disagree: (x) => x.dispute > 0,
  people: (x) => x.people,
  labelled: (x) => x.labels.length > 0,
  control: (x) => x.control.includes(0),
};
const ORDERS = {
  prompt: (a, b) => (a.prompt < b.prompt ? -1 : a.prompt > b.prompt ? 1 : a.index - b.index),
  outcome: (a, b) => (a.o[0] ?? 9) - (b.o[0] ?? 9) || a.index - b.index,
  low: (a, b) => a.low - b.low || a.index - b.index,
  disagree: (a, b) => b.dispute - a.dispute || Number(b.people) - Number(a.people) || a.index - b.index,
};
const judgeOf = (at) => judges.indexOf(at.get("judge") || "");

const ofColumn = (key, label, of, { empty = "(empty)", text = (value) => value } = {}) => {
  const values = new Set(all.map(of));
  if (values.size < 2) return;
  const words = new Map();
  [...values].sort(collator.compare).forEach((value) => {
    let word = value || empty;
    while (words.has(word) || (value === "" && values.has(word))) word = `(${word})`;
    words.set(word, value);
  });
  facets.push({
    key, label, options: [...words].map(([word, value]) => [word, value === "" ? word : text(value)]),
    test: (word) => (words.has(word) ? ((value) => (x) => of(x) === value)(words.get(word)) : null),
  });
};
const ofSome = (key, label, tests) => {
  const options = Object.entries(tests).filter(([, test]) => { const n = all.filter(test).length; return n > 0 && n < all.length; });
  if (options.length) facets.push({ key, label, options: options.map(([word]) => [word, word]), test: (word) => (Object.hasOwn(tests, word) ? tests[word] : null) });
};

/* a prompt by its id, said in its words where each id has one */
const promptText = () => {
  const words = new Map();
  all.forEach((x) => words.set(x.at.prompt_id, words.has(x.at.prompt_id) && words.get(x.at.prompt_id) !== x.prompt ? null : x.prompt));
  const alone = [...words.values()].every((text) => text !== null) && new Set(words.values()).size === words.size;
  return { alone, text: (id) => (alone ? words.get(id) : id) };
};
const makeFacets = () => {
  facets.push({ key: "outcome", label: "Outcome", fixed: true, test: (word) => { const i = OUTCOMES.indexOf(word); return i < 0 ? null : (x) => x.o.includes(i); } });
  const byJudge = (test, judge) => (x) => test(x, judge);
  facets.push({ key: "verdict", label: "Verdicts", fixed: true, test: (word) => (Object.hasOwn(VERDICT_TESTS, word) ? byJudge(VERDICT_TESTS[word], judgeOf(address())) : null) });
  if (judges.length > 1) {
    facets.push({ key: "judge", label: "Judge", options: judges.map((name) => [name, name]), test: (word) => { const j = judges.indexOf(word); return j < 0 ? null : (x) => Boolean(x.v[j]); } });
  }
  ofColumn("method", "Method", (x) => x.method);
  ofColumn("eps", "Budget (eps)", (x) => x.at.eps, { empty: "none" });
  ofColumn("surrogate", "Surrogate", (x) => x.at.surrogate, { empty: "none" });
  ofColumn("config", "Configuration", (x) => x.at.config, { empty: "none" });
  ofColumn("editor", "Editor", (x) => x.editor);
  ofColumn("purifier", "Purifier", (x) => x.at.purifier, { empty: "none" });
  ofColumn("seed", "Seed", (x) => x.at.seed);
  ofColumn("split", "Split", (x) => x.split);
  ofColumn("image_id", "Image", (x) => x.at.image_id);
  const { alone, text } = promptText();
  ofColumn("prompt_id", "Prompt", (x) => x.at.prompt_id, { text });
  if (!alone) ofColumn("prompt", "Text of the prompt", (x) => x.prompt);
  further.forEach((name, i) => ofColumn(`in.${name}`, name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " "), (x) => x.further[i]));
  ofSome("control", "Control edit", { ...Object.fromEntries(SAID.map((word, i) => [word, (x) => x.control.includes(i)])), "is missing": (x) => x.o.some((o, r) => o !== null && x.control[r] === null) });
  const raters = [...new Set(all.flatMap((x) => x.labels.map(([rater]) => rater)))].sort(collator.compare);
  ofSome("labels", "Labels", { labelled: (x) => x.labels.length > 0, "not labelled": (x) => !x.labels.length, ...Object.fromEntries(raters.map((name) => [`by ${name}`, (x) => x.labels.some(([rater]) => rater === name)])) });
};
