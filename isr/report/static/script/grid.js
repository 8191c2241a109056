/* the grid shows only what can be seen ----------------------------------------- */
const grid = $("grid");
const GAP = 16;
let columns = 1, height = 230, focused = 0, cards = new Map();
const layout = () => {
  const width = grid.clientWidth;
  columns = Math.max(1, Math.floor((width + GAP) / (440 + GAP)));
  const wide = (width - GAP * (columns - 1)) / columns;
  height = Math.round(Math.min((wide - 50) / 4, 160) + (width < 660 ? 138 : 118));
  grid.style.height = `${Math.max(Math.ceil(shown.length / columns) * (height + GAP), 60)}px`;
  cards.forEach((card) => card.remove());
  cards = new Map();
  grid.querySelector(".none")?.remove();
  if (!shown.length) grid.append(make("p", { class: "none", role: "listitem", text: "No edit matches these filters." }));
  draw();
};
const draw = () => {
  const top = -grid.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor((top - 600) / (height + GAP))) * columns;
  const last = Math.min(shown.length, Math.ceil((top + innerHeight + 600) / (height + GAP)) * columns);
  for (const [place, card] of cards) if (place < first || place >= last) { card.remove(); cards.delete(place); }
  const wide = (grid.clientWidth - GAP * (columns - 1)) / columns;
  for (let place = first; place < last; place++) {
    if (cards.has(place)) continue;
    const card = cardOf(shown[place], place);
    card.style.width = `${wide}px`;
    card.style.height = `${height}px`;
    card.style.left = `${(place % columns) * (wide + GAP)}px`;
    card.style.top = `${Math.floor(place / columns) * (height + GAP)}px`;
    cards.set(place, card);
    const next = [...cards.keys()].filter((x) => x > place).sort((a, b) => a - b)[0];
    grid.insertBefore(card, next === undefined ? null : cards.get(next));
  }
};
const alt = (entry, role) => `${role === "edit" ? "edit of the protected image" : role === "control" ? "control edit" : `${role} image`}, ${entry.prompt.slice(0, 80)}`;
const shot = (entry, place, className) => {
  const url = images[entry.img[place]];
  const frame = make("span", { class: className });
  frame.append(url ? make("img", { src: url, alt: alt(entry, ROLES[place]), loading: "lazy", decoding: "async" }) : make("span", { class: "empty", text: "none" }));
  frame.append(make("span", { text: ROLES[place] }));
  return frame;
};
const outcomeWords = (entry) => entry.o.map((o, i) => [o, runs.length > 1 && o !== null ? `${runs[i]}: ${OUTCOMES[o]}` : OUTCOMES[o]]).filter(([o]) => o !== null);
const cardOf = (entry, place) => {
  const shots = make("div", { class: "shots" }, ...ROLES.map((_, i) => shot(entry, i, "shot")));
  const tags = make("div", { class: "tags" });
  outcomeWords(entry).forEach(([o, words]) => tags.append(make("b", { class: `o${o}`, text: words })));
  verdictsOf(entry).forEach((x) => tags.append(make("span", { text: `${judges.length > 1 ? `${judges[x.judge]} ` : ""}${x.question} ${VERDICTS[x.value]}${x.score ? ` (${x.score})` : ""}` })));
  if (entry.labels.length) tags.append(make("span", { text: `${entry.labels.length} labels` }));
  const card = make("div", { class: "card", role: "listitem", "aria-setsize": shown.length, "aria-posinset": place + 1, tabindex: place === focused ? 0 : -1, "aria-label": `${entry.prompt.slice(0, 120)}: ${outcomeWords(entry).map(([, w]) => w).join(", ")}` },
    shots, make("div", { class: "words", dir: "auto", text: entry.prompt.slice(0, 300) }), tags);
  card.dataset.place = place;
  return card;
};
const focusCard = (place) => {
  const target = Math.min(Math.max(place, 0), shown.length - 1);
  if (target < 0) return;
  const old = cards.get(focused);
  if (old) old.tabIndex = -1;
  focused = target;
  const y = grid.getBoundingClientRect().top + Math.floor(target / columns) * (height + GAP);
  if (y < 0 || y + height > innerHeight) scrollBy({ top: y - (innerHeight - height) / 2, behavior: "instant" });
  draw();
  const card = cards.get(target);
  if (card) { card.tabIndex = 0; card.focus({ preventScroll: true }); }
};
grid.addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  if (card) { focusCard(Number(card.dataset.place)); open(Number(card.dataset.place)); }
});
grid.addEventListener("keydown", (event) => {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, j: 1, k: -1, PageDown: 4 * columns, PageUp: -4 * columns };
  if (event.key in steps) { event.preventDefault(); focusCard(focused + steps[event.key]); }
  if (event.key === "Home") { event.preventDefault(); focusCard(0); }
  if (event.key === "End") { event.preventDefault(); focusCard(shown.length - 1); }
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(focused); }
});
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && !viewer.open) { event.preventDefault(); $("f-text").focus(); }
});
