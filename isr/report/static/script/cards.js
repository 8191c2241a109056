/* one edit as a card: what was done, its pictures, what was asked for, and what each judge said ------------------------- */
const alt = (entry, role) => `${role === "edit" ? "edit of the protected image" : role === "control" ? "control edit" : `${role} image`}, ${entry.prompt.slice(0, 80)}`;
const shot = (entry, place, className) => {
  const url = images[entry.img[place]];
  const frame = make("span", { class: className });
  frame.append(url ? make("img", { src: url, alt: alt(entry, ROLES[place]), loading: "lazy", decoding: "async" }) : make("span", { class: "empty", text: "none" }));
  frame.append(make("span", { text: ROLES[place] }));
  return frame;
};
const controlWords = (control, mark) => control.map((c, r) => [c, runs.length > 1 ? `${runs[r]}${mark} ${SAID[c]}` : SAID[c]]).filter(([c]) => c !== null);
const outcomeWords = (entry) => entry.o.map((o, i) => [o, runs.length > 1 && o !== null ? `${runs[i]}: ${OUTCOMES[o]}` : OUTCOMES[o]]).filter(([o]) => o !== null);

/* an unlike treatment or unit, method and editor first; a column that is the same everywhere is not said again */
let differing = [];
const chooseDiffering = () => {
  const words = { purifier: (v) => (v ? `purifier ${v}` : "no purifier"), seed: (v) => `seed ${v || "(empty)"}` };
  differing = Object.keys(words).filter((name) => new Set(all.map((x) => x.at[name])).size > 1).map((name) => (entry) => words[name](entry.at[name]));
};
const headOf = (entry) => [entry.method || "(no method named)", entry.editor || "(no editor named)", ...differing.map((said) => said(entry))];

/* two marks for each judge: S semantic, P perceptual; filled: fails, hollow: fine, dashed with a question mark: undecided */
const QUESTIONS = ["semantic", "perceptual"];
const markOf = (v, q) => {
  const value = v[4 * q], score = texts[v[4 * q + 2]];
  return make("span", { class: `mark v${value}`, title: `${QUESTIONS[q]} ${VERDICTS[value]}${score ? `, score ${score} of 4` : ""}`, text: `${"SP"[q]}${value === 2 ? "?" : ""}` });
};
/* judges of one run that has several stand under the outcome by its rule; a judge that is alone has the outcome in its own row */
const alone = (judge) => judged.filter((run) => run === judged[judge]).length === 1;
const outcomeOf = (o) => make("b", { class: `outcome o${o}`, text: OUTCOMES[o] });
const verdictRows = (entry) => {
  const box = make("span", { class: "verdict-rows" });
  const labels = entry.labels.length ? make("span", { class: "said", text: `${entry.labels.length} label${entry.labels.length > 1 ? "s" : ""}` }) : null;
  const row = (name, outcome, v) => box.append(make("span", { class: "verdict-row" }, outcome === null ? make("span", { class: "outcome" }) : outcomeOf(outcome),
    ...(v ? [markOf(v, 0), markOf(v, 1)] : []), make("span", { class: "by", text: name })));
  runs.forEach((run, r) => {
    if (entry.o[r] === null) return;
    const mine = judges.map((_, j) => j).filter((j) => judged[j] === r && entry.v[j]);
    if (mine.length !== 1 || !alone(mine[0])) row(runs.length > 1 ? run : "all judges by the rule", entry.o[r], null);
    mine.forEach((j) => row(judges.length > 1 ? judges[j] : "", alone(j) ? entry.o[r] : null, entry.v[j]));
  });
  if (labels) box.append(labels);
  return box;
};
const inWords = (entry) => [headOf(entry).join(", "), entry.prompt.slice(0, 120), outcomeWords(entry).map(([, w]) => w).join(", "),
  ...verdictsOf(entry).map((x) => `${judges.length > 1 ? `${judges[x.judge]} ` : ""}${x.question} ${VERDICTS[x.value]}`)].join(". ");
const headLine = (entry) => { const [method, ...rest] = headOf(entry); return make("span", { class: "head", dir: "auto" }, make("b", { text: method }), make("span", { text: ` · ${rest.join(" · ")}` })); };
const promptLine = (text) => make("span", { class: "words", dir: "auto", text: text.slice(0, 300) });
const cardOf = (entry) => {
  const button = make("button", { type: "button", class: "card", "aria-label": inWords(entry) },
    headLine(entry), make("span", { class: "shots" }, ...ROLES.map((_, i) => shot(entry, i, "shot"))), promptLine(entry.prompt), verdictRows(entry));
  return make("div", { class: "place", role: "listitem" }, button);
};
