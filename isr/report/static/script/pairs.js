/* A minus B: the edits of each cell of the crossed tables, and the pairs with one method ----------------------- */
const beginPairs = (() => {
/* sides: for each unit the number of its edit (-1: none) and a digit for its outcome; families: the two sides of each pair */
let crossing = { sides: [], families: [] };
const PAIR_CELL = /^(\d{1,4})\.(\d{1,4})\.([012][012])$/;
sets.pair = (argument) => {
  const [, family, number, cell] = PAIR_CELL.exec(argument) || [];
  const pair = cell && crossing.families[Number(family)]?.[Number(number)];
  const link = pair && document.querySelector(`#comparison a[href="#set=pair:${argument}"]`);
  if (!link) return null;
  const [first, second] = pair.map((side) => crossing.sides[side]);
  const places = new Map(); // of the edits, in the order of their units: first, then second
  first.entries.forEach((entry, unit) => {
    if (entry < 0 || second.entries[unit] < 0 || first.said[unit] + second.said[unit] !== cell) return;
    [entry, second.entries[unit]].forEach((one) => { if (!places.has(one)) places.set(one, places.size); });
  });
  return {
    words: link.getAttribute("aria-label"),
    test: (entry) => places.has(entry.index),
    order: (a, b) => places.get(a.index) - places.get(b.index),
  };
};

const baselineOf = () => {
  const wanted = address().get("baseline") || "";
  return $("baseline") && [...$("baseline").options].some((x) => x.value === wanted) ? wanted : "";
};
checks.push((at) => (at.has("baseline") && !baselineOf() ? ["baseline", `no baseline ${quoted(at.get("baseline"))} in this report`] : null));
const showPairs = () => {
  if (!$("baseline")) return;
  const name = $("baseline").value = baselineOf();
  const hidden = new Set();
  document.querySelectorAll("#comparison [data-first]").forEach((pair) => {
    if (name && ![pair.dataset.first, pair.dataset.second].includes(name)) hidden.add(pair.dataset.pair);
  });
  document.querySelectorAll("#comparison [data-pair]").forEach((row) => { row.hidden = hidden.has(row.dataset.pair); });
  document.querySelectorAll("#comparison [data-title]").forEach((title) => {
    let row = title.nextElementSibling;
    while (row && row.hidden && !("title" in row.dataset)) row = row.nextElementSibling;
    title.hidden = !row || "title" in row.dataset;
  });
  $("against-note").hidden = !name;
};
return (pairs) => {
  crossing = pairs;
  if (!$("baseline")) return;
  $("against").hidden = false;
  $("baseline").addEventListener("change", () => go({ baseline: $("baseline").value }));
  addEventListener("moved", showPairs);
  showPairs();
};
})();
