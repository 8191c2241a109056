/* the grid holds only what can be seen; all cards of one set have the height that the longest of them needs ------------- */
const grid = $("grid");
const GAP = 16, AHEAD = 500, AT_FIRST = 18; // px, px, cards: so many are drawn before the first paint, the others after it
let columns = 1, height = 230, focused = 0, cards = new Map(); // edit -> its card

/* heights of parts of cards at one width, measured together, the longest texts first, and kept; none is higher than `most` */
const AT_ONCE = 24;
let measuredAt = 0, measured = new Map();
const highest = (wide, parts, most = Infinity) => {
  if (wide !== measuredAt) { measured = new Map(); measuredAt = wide; }
  let found = [...parts.keys()].reduce((high, key) => Math.max(high, measured.get(key) || 0), 0);
  const fresh = [...parts].filter(([key]) => !measured.has(key)).sort(([a], [b]) => b.length - a.length);
  for (let from = 0; from < fresh.length && found < most; from += AT_ONCE) {
    const some = fresh.slice(from, from + AT_ONCE);
    const bench = make("div", { class: "bench", "aria-hidden": "true" });
    bench.style.width = `${wide}px`;
    bench.append(...some.map(([, part]) => part()));
    grid.append(bench);
    some.forEach(([key], i) => {
      measured.set(key, bench.children[i].getBoundingClientRect().height);
      found = Math.max(found, measured.get(key));
    });
    bench.remove();
  }
  return Math.ceil(found);
};
const partsOf = (key, part) => {
  const parts = new Map();
  shown.forEach((entry) => { const text = key(entry); if (!parts.has(text)) parts.set(text, () => part(entry)); });
  return parts;
};
const FRAME = 26, BETWEEN = 8, LINE = 20; // padding and border of a card; between its parts; height of a prompt's line, of which two are shown
const layout = () => {
  const width = grid.clientWidth;
  columns = Math.max(1, Math.floor((width + GAP) / ((width > 1600 ? 580 : 440) + GAP)));
  const wide = (width - GAP * (columns - 1)) / columns, inside = wide - FRAME;
  const heads = highest(inside, partsOf((x) => `h ${headOf(x).join("\n")}`, headLine));
  const prompts = highest(inside, partsOf((x) => `p ${x.prompt.slice(0, 300)}`, (x) => promptLine(x.prompt)), 2 * LINE);
  const verdicts = highest(inside, partsOf((x) => `v ${x.o} ${x.v.map((v) => Number(Boolean(v)))} ${x.labels.length}`, verdictRows));
  const pictures = Math.round(Math.min((inside - 24) / 4, 160)) + 22;
  grid.style.setProperty("--pictures", `${pictures}px`);
  height = FRAME + heads + pictures + prompts + verdicts + 3 * BETWEEN;
  grid.style.height = `${Math.max(Math.ceil(shown.length / columns) * (height + GAP), 60)}px`;
  grid.querySelector(".none")?.remove();
  if (!shown.length) grid.append(make("p", { class: "none", role: "listitem", text: "No edit matches these filters." }));
  draw(0, grid.contains(document.activeElement) ? Infinity : AT_FIRST); // what can be seen first, what is near it once that is painted
  drawSoon();
};
let waiting = false;
const drawSoon = () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; setTimeout(() => draw(), 0); });
};
const draw = (ahead = AHEAD, most = Infinity) => {
  const top = -grid.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor((top - ahead) / (height + GAP))) * columns;
  const last = Math.min(shown.length, first + most, Math.ceil((top + innerHeight + ahead) / (height + GAP)) * columns);
  const wide = (grid.clientWidth - GAP * (columns - 1)) / columns;
  const old = cards;
  cards = new Map();
  let before = null;
  for (let place = first; place < last; place++) {
    const entry = shown[place];
    const card = old.get(entry) || cardOf(entry);
    old.delete(entry);
    cards.set(entry, card);
    const at = `${wide} ${height} ${columns} ${place} ${shown.length}`;
    if (card.dataset.at !== at) {
      Object.assign(card.dataset, { at, place });
      Object.assign(card.style, { width: `${wide}px`, height: `${height}px`, left: `${(place % columns) * (wide + GAP)}px`, top: `${Math.floor(place / columns) * (height + GAP)}px` });
      card.setAttribute("aria-setsize", shown.length);
      card.setAttribute("aria-posinset", place + 1);
    }
    card.firstChild.tabIndex = place === focused ? 0 : -1;
    const next = before ? before.nextSibling : grid.firstChild;
    if (next !== card) grid.insertBefore(card, next);
    before = card;
  }
  old.forEach((card) => card.remove());
};
const focusCard = (place) => {
  const target = Math.min(Math.max(place, 0), shown.length - 1);
  if (target < 0) return;
  focused = target;
  const y = grid.getBoundingClientRect().top + Math.floor(target / columns) * (height + GAP);
  if (y < 0 || y + height > innerHeight) scrollBy({ top: y - Math.max((innerHeight - height) / 2, 8), behavior: "instant" });
  draw();
  cards.get(shown[target])?.firstChild.focus({ preventScroll: true });
};
grid.addEventListener("click", (event) => {
  const card = event.target.closest(".place");
  if (card) { focusCard(Number(card.dataset.place)); open(Number(card.dataset.place)); }
});
grid.addEventListener("keydown", (event) => {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, j: 1, k: -1, PageDown: 4 * columns, PageUp: -4 * columns };
  if (Object.hasOwn(steps, event.key)) { event.preventDefault(); focusCard(focused + steps[event.key]); }
  if (event.key === "Home") { event.preventDefault(); focusCard(0); }
  if (event.key === "End") { event.preventDefault(); focusCard(shown.length - 1); }
});
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && !viewer.open) { event.preventDefault(); $("f-text").focus(); }
});
