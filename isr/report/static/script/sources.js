/* one source, all methods: prompts and editors down, no protection and each method across ------------------------------- */
const bySource = new Map(); // image -> its edits
let sourceShown = "";
const ACROSS = ["editor", "seed", "purifier"];
const sourceOf = (text) => (bySource.has(text) ? text : "");
const lineOf = (entry) => JSON.stringify(["prompt_id", ...ACROSS].map((name) => entry.at[name]));
/* the longer side of what the page holds of a file, and that of the file */
const sizeSaid = (n) => {
  const { W, H, reduced } = sizeOf(n), longer = Math.max(W, H);
  return !longer ? "" : reduced ? `${reduced} of ${longer} px` : `${longer} px`;
};
const pictureCell = (entry, place, words, frame) => {
  const url = images[entry.img[place]];
  return make("span", { class: `framed ${frame}` }, url ? make("img", { src: url, alt: words, title: sizeSaid(entry.img[place]) || null, loading: "lazy", decoding: "async" }) : make("span", { class: "empty", text: "no picture" }));
};
const outcomeFrame = (outcomes) => { const some = [...new Set(outcomes.filter((o) => o !== null))]; return some.length === 1 ? `f${some[0]}` : some.length ? "fx" : ""; };
const editCell = (entry) => {
  const button = make("button", { type: "button", class: "edit-cell", "aria-label": inWords(entry) }, pictureCell(entry, 3, alt(entry, "edit"), outcomeFrame(entry.o)),
    make("span", { class: "cell-said" }, ...outcomeWords(entry).map(([o, words]) => make("span", { class: `outcome o${o}`, text: words })), ...judges.map((_, j) => j).filter((j) => entry.v[j]).map((j) =>
      make("span", { class: "marks" }, markOf(entry.v[j], 0), markOf(entry.v[j], 1), judges.length > 1 ? make("span", { class: "by", text: judges[j] }) : ""))));
  button.addEventListener("click", () => openEntry(entry, { whole: true }));
  return button;
};
/* the control edits of a unit, of each picture one: [an edit that has it, its outcome in each run] */
const controlsOf = (edits) => {
  const found = new Map();
  edits.filter((x) => x.control.some((c) => c !== null)).forEach((x) => {
    const [first, known] = found.get(x.img[2]) || [x, x.control];
    found.set(x.img[2], [first, known.map((c, r) => c ?? x.control[r])]);
  });
  return [...found.values()];
};
const controlCell = ([entry, control]) => {
  const said = controlWords(control, ":"), words = `control edit ${said.map(([, text]) => text).join(", ")}`;
  const button = make("button", { type: "button", class: "edit-cell", "aria-label": `${words}: ${entry.prompt.slice(0, 120)}, ${entry.editor}` },
    pictureCell(entry, 2, alt(entry, "control"), outcomeFrame(control)), make("span", { class: "cell-said" }, ...said.map(([, text]) => make("span", { class: "outcome", text }))));
  button.addEventListener("click", () => openEntry(entry, { whole: true }));
  return button;
};
const sources = () => {
  const image = sourceOf(address().get("source") || "") || bySource.keys().next().value;
  if (image === sourceShown) return;
  sourceShown = image;
  const mine = bySource.get(image), methods = [...new Set(mine.map((x) => x.method))].sort(collator.compare);
  const varying = ACROSS.filter((name) => name === "editor" || new Set(mine.map((x) => x.at[name])).size > 1);
  const head = make("tr", {}, make("th", { scope: "col", text: "Prompt and editor" }), make("th", { scope: "col", text: "no protection" }), ...methods.map((name) => make("th", { scope: "col", text: name })));
  const first = (method) => mine.find((x) => x.method === method);
  const shownAs = (entry, place, words) => make("td", {}, make("span", { class: "edit-cell" }, pictureCell(entry, place, alt(entry, ROLES[place]), ""), make("span", { class: "cell-said", text: words })));
  const top = make("tr", { class: "originals" }, make("th", { scope: "row", text: "before the edit" }), shownAs(mine[0], 0, "source"), ...methods.map((name) => shownAs(first(name), 1, "protected")));
  const lines = new Map();
  mine.forEach((x) => { if (!lines.has(lineOf(x))) lines.set(lineOf(x), []); lines.get(lineOf(x)).push(x); });
  const order = [...lines.values()].sort(([a], [b]) => collator.compare(a.prompt, b.prompt) || collator.compare(a.at.prompt_id, b.at.prompt_id) || ACROSS.reduce((found, name) => found || collator.compare(a.at[name], b.at[name]), 0));
  const rows = order.map((edits) => {
    const [entry] = edits, unprotected = controlsOf(edits);
    const said = varying.map((name) => (name === "purifier" ? entry.at.purifier || "no purifier" : name === "seed" ? `seed ${entry.at.seed || "(empty)"}` : entry.editor || "(no editor named)"));
    return make("tr", {}, make("th", { scope: "row" }, make("span", { class: "asked", dir: "auto", text: entry.prompt.slice(0, 200) }), make("span", { class: "soft", text: said.join(" · ") })),
      make("td", {}, ...(unprotected.length ? unprotected.map(controlCell) : [make("span", { class: "soft", text: entry.at.purifier ? "no control edit under this purifier" : "no control edit" })])),
      ...methods.map((name) => { const some = edits.filter((x) => x.method === name); return make("td", {}, ...(some.length ? some.map(editCell) : [make("span", { class: "soft", text: "no edit" })])); }));
  });
  $("sources-head").replaceChildren(head);
  $("sources-rows").replaceChildren(top, ...rows);
  const sizes = [...new Set(mine.flatMap((x) => x.img.slice(0, 4)).map(sizeSaid))].filter(Boolean).sort(collator.compare);
  $("source-sizes").textContent = sizes.length ? ` Size of the pictures here: ${sizes.join(", ")}.` : "";
  $("source").value = image;
  $("source-title").textContent = `${image || "(empty)"}: ${mine.length} edit${mine.length > 1 ? "s" : ""}`;
  reach("#sources .wide");
};
const beginSources = () => {
  all.forEach((x) => { const image = x.at.image_id; if (!bySource.has(image)) bySource.set(image, []); bySource.get(image).push(x); });
  const names = [...bySource.keys()];
  $("source-list").append(...names.map((name) => make("option", { value: name })));
  const to = (step) => go({ source: names[(names.indexOf(sourceShown) + step + names.length) % names.length] });
  $("source-before").addEventListener("click", () => to(-1));
  $("source-after").addEventListener("click", () => to(1));
  const chosen = (event) => { if (event.type === "change" || sourceOf(event.target.value)) go({ source: event.target.value }); };
  $("source").addEventListener("change", chosen);
  $("source").addEventListener("input", chosen);
  checks.push((at) => (at.has("source") && !sourceOf(at.get("source")) ? ["source", `no source image ${quoted(at.get("source"))} in this report`] : null));
  const link = make("button", { type: "button", class: "quiet", id: "same-source", text: "All methods of this source" });
  link.addEventListener("click", () => go({ edit: "", source: link.dataset.image, view: "sources" }));
  $("viewer-prompt").after(link);
};
