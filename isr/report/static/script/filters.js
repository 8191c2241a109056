/* filters ------------------------------------------------------------------- */
const VERDICT_TESTS = {
  semantic: (x) => x.fails.semantic,
  perceptual: (x) => x.fails.perceptual,
  disagree: (x) => x.dispute > 0,
  people: (x) => x.people,
  labelled: (x) => x.labels.length > 0,
  control: (x) => x.control === 0,
};
const ORDERS = {
  prompt: (a, b) => (a.prompt < b.prompt ? -1 : a.prompt > b.prompt ? 1 : a.index - b.index),
  outcome: (a, b) => (a.o[0] ?? 9) - (b.o[0] ?? 9) || a.index - b.index,
  low: (a, b) => a.low - b.low || a.index - b.index,
  disagree: (a, b) => b.dispute - a.dispute || Number(b.people) - Number(a.people) || a.index - b.index,
};
const filter = () => {
  const words = $("f-text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const outcome = $("f-outcome").value;
  const test = VERDICT_TESTS[$("f-verdict").value];
  const [method, editor, split] = ["f-method", "f-editor", "f-split"].map((id) => $(id).value);
  const set = setOf(address().get("set") || "");
  shown = all.filter((x) => set.test(x) &&
    (outcome === "" || x.o.includes(Number(outcome))) && (!test || test(x)) &&
    (method === "" || x.method === all[method].method) && (editor === "" || x.editor === all[editor].editor) &&
    (split === "" || x.split === all[split].split) && words.every((word) => x.text.includes(word)));
  const order = ORDERS[$("f-sort").value] || set.order;
  if (order) shown.sort(order);
  $("count").textContent = shown.length === all.length ? `${all.length}` : `${shown.length} of ${all.length}`;
  focused = 0;
  layout();
};
const choices = (id, field) => {
  const seen = new Map();
  all.forEach((x) => { if (!seen.has(x[field])) seen.set(x[field], x.index); });
  if (seen.size < 2) { $(id).closest("label").hidden = true; $(id).closest("label").style.display = "none"; return; }
  [...seen].sort().forEach(([name, index]) => $(id).append(make("option", { value: index, text: (name || "(empty)").slice(0, 60) })));
};
