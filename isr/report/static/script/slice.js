/* slice: the rates of the edits shown, of each method and of the control edits of the same units; both as CSV ------------- */
const percent = (v) => {
  const x = 100 * v;
  return `${x % 1 === 0.25 ? `${Math.floor(x)}.2` : x.toFixed(1)}%`; // a tie goes to the even digit, as on the rest of the page
};
const spanOf = (ends) => ends.map(percent).join(" to ");
let rates = [], chosenOpen = false; // whether the reader has opened or closed the table: then it stays so
const unitOf = (entry) => JSON.stringify(["image_id", "prompt_id", "editor", "seed", "purifier"].map((name) => entry.at[name]));
const ratesOf = (entries) => runs.flatMap((run, r) => {
  const mine = entries.filter((x) => x.codes[2 * r] !== null);
  const rowOf = (x, code) => ({ image: x.at.image_id, prompt: x.at.prompt_id, code });
  const methods = new Map(), units = new Map();
  mine.forEach((x) => {
    if (!methods.has(x.method)) methods.set(x.method, []);
    methods.get(x.method).push(rowOf(x, x.codes[2 * r]));
    if (x.codes[2 * r + 1] !== null) units.set(unitOf(x), rowOf(x, x.codes[2 * r + 1]));
  });
  const lines = [...methods].map(([method, rows]) => ({ run, method, control: false, made: made[r], ...rateOf(rows, made[r]) }));
  if (units.size) lines.push({ run, method: "no protection (control edits)", control: true, made: made[r], ...rateOf([...units.values()], made[r]) });
  return lines;
});
const NOT_COMPUTED = "no interval here: isr score --by COLUMN";
const saidRate = (e) => (e.value === null ? (e.bounds && e.range ? spanOf(e.bounds) : "–") : e.range ? spanOf(e.bounds) : percent(e.value));
const saidInterval = (e) => {
  const held = e.identified ? spanOf(e.identified) : "";
  if (e.range && held) return held;
  if (e.low === null) return e.note === "no interval here" ? NOT_COMPUTED : e.note;
  return `${spanOf([e.low, e.high])}${held ? `; ${held} with the undecided` : ""}`;
};
const slice = () => {
  if (!chosenOpen) $("slice").open = shown.length > 0 && shown.length < all.length;
  $("slice-of").textContent = shown.length === all.length ? `all ${all.length} edits` : `the ${shown.length} edits shown`;
  $("slice-chosen").hidden = !chosenBy.length;
  if ($("slice").open) fillSlice();
};
let filledFor = null;
const fillSlice = () => {
  if (filledFor === asked) return;
  filledFor = asked;
  rates = ratesOf(shown);
  const several = runs.length > 1, body = $("slice-rows");
  body.replaceChildren();
  rates.forEach((e, i) => {
    if (several && (!i || rates[i - 1].run !== e.run)) body.append(make("tr", {}, make("th", { scope: "rowgroup", colspan: 5, class: "soft", text: e.run })));
    body.append(make("tr", { class: e.control ? "of-control" : null }, make("th", { scope: "row", text: e.method }),
      make("td", { class: "num rate", text: saidRate(e) }), make("td", { class: "num soft interval", text: saidInterval(e) }),
      make("td", { class: "num soft", text: `${e.n} of ${e.of}` }), make("td", { class: "num soft", text: e.images })));
  });
  $("slice-levels").textContent = [...new Set(made.map((m) => `${(100 * m.level).toFixed(0)}%`))].join(" and ");
};

/* a text that a spreadsheet would compute has an apostrophe before it, as isr.spreadsheet.csv_safe has it */
const csvCell = (value) => {
  const text = value === null || value === undefined ? "" : String(value);
  const inert = /^[=+\-@\t\r]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
};
const csvOf = (lines) => `${lines.map((line) => line.map(csvCell).join(",")).join("\n")}\n`;
const editsCsv = () => {
  const words = (list, value) => (value === null || value === undefined ? "" : list[value]);
  const by = judges.flatMap((judge) => QUESTIONS.flatMap((q) => [`${judge}:${q}`, `${judge}:${q}_reason`, `${judge}:${q}_score`, `${judge}:${q}_reasoning`]));
  const head = ["edit_id", "address", "prompt", ...fields, "split", ...further, ...runs.map((run) => (runs.length > 1 ? `outcome: ${run}` : "outcome")), ...runs.map((run) => (runs.length > 1 ? `control_outcome: ${run}` : "control_outcome")), ...by, "labels"];
  return csvOf([head, ...shown.map((x) => [x.id, `#${new URLSearchParams({ edit: x.key })}`, x.prompt, ...fields.map((name) => x.at[name]), x.split, ...x.further, ...x.o.map((o) => words(OUTCOMES, o)), ...x.control.map((c) => words(OUTCOMES, c)),
    ...x.v.flatMap((v) => (v ? [0, 4].flatMap((at) => [VERDICTS[v[at]], texts[v[at + 1]], texts[v[at + 2]], texts[v[at + 3]]]) : Array(8).fill(""))),
    x.labels.map(([rater, semantic, perceptual]) => `${rater}: semantic ${semantic || "not asked"}, perceptual ${perceptual || "not asked"}`).join("; ")])]);
};
const ratesCsv = () => csvOf([
  ["run", "method", "value", "low", "high", "level", "interval", "n", "of", "images", "bounds_low", "bounds_high", "identified_low", "identified_high", "note", "shown"],
  ...rates.map((e) => [e.run, e.method, e.value, e.low, e.high, e.made.level, `${e.made.interval}, prompts ${e.made.prompts}, ${e.made.estimand}`, e.n, e.of, e.images, ...(e.bounds || ["", ""]), ...(e.identified || ["", ""]),
    [e.range ? "read the bounds: more than 5% are undecided" : "", e.note].filter(Boolean).join("; "), asked || "all edits"])]);
const beginSlice = () => {
  const table = (text) => new Blob([text], { type: "text/csv" });
  $("slice").querySelector("summary").addEventListener("click", () => { chosenOpen = true; });
  $("slice").addEventListener("toggle", () => { if ($("slice").open) { fillSlice(); reach("#slice .wide"); } });
  $("save-edits").addEventListener("click", () => save(table(editsCsv()), "edits-shown.csv"));
  $("save-rates").addEventListener("click", () => save(table(ratesCsv()), "rates-shown.csv"));
};
