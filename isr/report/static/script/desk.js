/* the desk: who disagrees, cell by cell, and one edit at a time with what everybody said ------------------------ */
const beginDesk = (() => {
const TITLES = ["semantic", "perceptual", "outcome"];
const DESK_CELL = /^(\d{1,4})\.(\d{1,4})\.(semantic|perceptual|outcome)\.([012][012])$/;
let desk = { sources: [], digests: [], notes: [], homes: [], titles: {}, mark: {}, key: "" };
let deskList = [], deskAt = 0, deskShown = "";
const stateOf = (title, digit) => (title === "outcome" ? OUTCOMES : VERDICTS)[Number(digit)];
const saidBy = (source, title, entry) => desk.sources[source].said[TITLES.indexOf(title)][entry.index];
const edits = (n) => `${n} edit${n === 1 ? "" : "s"}`;

const deskWords = (a, b, title, cell) => {
  const [one, other] = [a, b].map((s, i) => `${stateOf(title, cell[i])} by ${desk.sources[s].name}`);
  const what = title === "outcome" ? "" : `${title} `;
  return cell[0] === cell[1] ? `${what}${stateOf(title, cell[0])} by both ${desk.sources[a].name} and ${desk.sources[b].name}` : `${what}${one}, ${other}`;
};
sets.desk = (argument) => {
  const [, first, second, title, cell] = DESK_CELL.exec(argument) || [];
  const [a, b] = [Number(first), Number(second)];
  if (!cell || a === b || !desk.sources[a] || !desk.sources[b]) return null;
  const test = (entry) => saidBy(a, title, entry) + saidBy(b, title, entry) === cell;
  return { words: `${edits(all.filter(test).length)}: ${deskWords(a, b, title, cell)}`, test };
};
sets.mine = (argument) => {
  const tests = { flagged: (x) => x.flag, labelled: (x) => x.semantic || x.perceptual, noted: (x) => x.note };
  if (!Object.hasOwn(tests, argument)) return null;
  const test = (entry) => Boolean(tests[argument](answersOf(entry)));
  return { words: `${edits(all.filter(test).length)} ${argument} by you`, test };
};

/* what the reader says: in memory, and in this browser where it lets us */
const EMPTY = { semantic: "", perceptual: "", flag: false, note: "", time: "" };
const ANSWERS = ["fails", "fine", "cannot_tell"];
let own = new Map(), kept = true, unsaved = false;
const ownKey = (entry) => `${desk.digests[entry.index]} ${entry.id}`;
const answersOf = (entry) => own.get(ownKey(entry)) || EMPTY;
const isSaid = (x) => x.semantic || x.perceptual || x.flag || x.note;
const answerOf = (x) => (ANSWERS.includes(x) ? x : "");
const textOf = (x, most) => (typeof x === "string" ? x.slice(0, most) : "");
const stored = () => {
  const found = new Map();
  const text = localStorage.getItem(desk.key);
  let raw = {};
  try { raw = JSON.parse(text || "{}"); } catch { /* not ours */ }
  for (const [key, x] of Object.entries(Object(raw.edits))) {
    if (x === null || typeof x !== "object") continue;
    const one = { semantic: answerOf(x.semantic), perceptual: answerOf(x.perceptual), flag: x.flag === true, note: textOf(x.note, desk.mark.note), time: textOf(x.time, 40) };
    if (isSaid(one)) found.set(key, one);
  }
  return { edits: found, rater: textOf(raw.rater, 60) };
};
const store = (change) => {
  try {
    const now = stored(); // another tab may have written since
    change(now.edits);
    localStorage.setItem(desk.key, JSON.stringify({ rater: $("desk-rater").value, edits: Object.fromEntries(now.edits) }));
    kept = true;
  } catch {
    kept = false;
  }
};
const saying = (entry, changes) => {
  const key = ownKey(entry);
  const now = { ...answersOf(entry), ...changes, time: new Date().toISOString() };
  const put = (map) => (isSaid(now) ? map.set(key, now) : map.delete(key));
  put(own);
  store(put);
  unsaved = true;
  showOwn();
};
const restore = () => {
  try {
    const now = stored();
    own = now.edits;
    if (now.rater) $("desk-rater").value = now.rater;
  } catch {
    kept = false;
  }
};

/* tables */
let usual = [0, 1]; // the first two who speak of the same edits
const twoOf = (text) => {
  const [, a, b] = /^(\d{1,4})\.(\d{1,4})$/.exec(text) || [];
  return a !== undefined && Number(a) !== Number(b) && desk.sources[Number(a)] && desk.sources[Number(b)] ? [Number(a), Number(b)] : null;
};
checks.push((at) => (at.has("desk") && !twoOf(at.get("desk")) ? ["desk", `no two judges or people ${quoted(at.get("desk"))} in this report`] : null));
checks.push((at) => (at.has("look") && !byKey.has(at.get("look")) ? ["look", `no edit ${quoted(at.get("look"))} for the desk in this report`] : null));
const chosen = () => {
  const [, a, b] = DESK_CELL.exec((address().get("set") || "").replace(/^desk:/, "")) || [];
  return (a !== undefined && twoOf(`${a}.${b}`)) || twoOf(address().get("desk") || "") || usual;
};
const speaks = (source, entry) => saidBy(source, "semantic", entry) !== "-" || saidBy(source, "perceptual", entry) !== "-";
const meet = (a, b) => all.filter((entry) => speaks(a, entry) && speaks(b, entry));
const deskTable = (a, b, title) => {
  const counts = new Map();
  for (const entry of all) {
    const cell = saidBy(a, title, entry) + saidBy(b, title, entry);
    counts.set(cell, (counts.get(cell) || 0) + 1);
  }
  const states = ["0", "1", "2"].filter((s) => s !== "2" || [...counts.keys()].some((cell) => !cell.includes("-") && cell.includes("2")));
  const table = make("table", { class: "crossing" }, make("caption", { text: title }));
  const of = (s) => (s === "2" ? " o2" : "");
  table.append(make("thead", {},
    make("tr", {}, make("td"), make("th", { scope: "colgroup", class: "called", colspan: states.length, text: desk.sources[b].name })),
    make("tr", {}, make("th", { scope: "col", class: "called", text: desk.sources[a].name }), ...states.map((s) => make("th", { scope: "col", class: `num${of(s)}`, text: stateOf(title, s) })))));
  const body = make("tbody");
  for (const x of states) {
    const row = make("tr", {}, make("th", { scope: "row", class: of(x).trim() || null, text: stateOf(title, x) }));
    for (const y of states) {
      const n = counts.get(x + y) || 0;
      const argument = `${a}.${b}.${title}.${x}${y}`;
      const cell = make("td", { class: `num${x !== y && x + y !== "22" && !(x + y).includes("2") ? " differ" : ""}` });
      const words = `${edits(n)}: ${deskWords(a, b, title, x + y)}`;
      cell.append(n ? make("a", { href: `#set=desk:${argument}`, title: words, "aria-label": words, text: n }) : make("span", { class: "soft", text: "0" }));
      row.append(cell);
    }
    body.append(row);
  }
  table.append(body);
  return table;
};
const showTables = () => {
  const [a, b] = chosen();
  $("desk-first").value = a;
  $("desk-second").value = b;
  [...$("desk-first").options].forEach((x) => { x.disabled = Number(x.value) === b; });
  [...$("desk-second").options].forEach((x) => { x.disabled = Number(x.value) === a; });
  const [first, second, both] = [[a, a], [b, b], [a, b]].map(([x, y]) => meet(x, y).length);
  $("desk-overlap").textContent = `${desk.sources[a].name} speaks of ${edits(first)}, ${desk.sources[b].name} of ${second}; both of ${both}. The outcome is of each alone: immunized where either question fails. A number opens these edits at the desk below.`;
  $("desk-tables").replaceChildren(...TITLES.map((title) => deskTable(a, b, title)));
};

/* one edit */
const listOf = () => {
  const set = setOf(address().get("set") || "");
  if (set.words) {
    const found = all.filter(set.test);
    if (set.order) found.sort(set.order);
    return [found, set.words];
  }
  if (desk.sources.length < 2) return [all, "all edits"];
  const [a, b] = chosen();
  const differ = (entry) => TITLES.some((title) => ["01", "10"].includes(saidBy(a, title, entry) + saidBy(b, title, entry)));
  const [names, found] = [`${desk.sources[a].name} and ${desk.sources[b].name}`, all.filter(differ)];
  if (found.length) return [found, `edits on which ${names} differ`];
  return [all, `all edits: ${names} ${meet(a, b).length ? "agree where both decide" : "speak of no edit in common"}`];
};
/* a picture of the viewer, here without its modes: whole, no larger than its own pixels; and, where it is shown with fewer, a part of the file */
const PART = 256;
const deskCell = (entry, place, isPart) => {
  const cell = cellOf(entry, [place], isPart);
  cell.classList.toggle("desk-part", isPart);
  const frame = cell.querySelector(".stack");
  frame.className = "stack";
  cell.querySelector(".role").remove();
  cell.querySelector(".size").textContent = ROLES[place]; // until its size is known
  frame.querySelectorAll("img").forEach((image) => {
    image.place = place;
    image.addEventListener("load", fitDesk);
    image.addEventListener("click", () => openEntry(entry));
  });
  return cell;
};
const deskColumn = (entry, place) => make("div", { class: "desk-picture" }, deskCell(entry, place, false), images[entry.img[place]] ? deskCell(entry, place, true) : "");
const fitDesk = () => document.querySelectorAll(".desk-picture").forEach((column) => {
  const room = column.clientWidth, high = Math.max(160, innerHeight * 0.7);
  let isWhole = false; // every pixel of the file is seen
  column.querySelectorAll(".cell").forEach((cell) => {
    const isPart = cell.classList.contains("desk-part"), frame = cell.querySelector(".stack"), image = frame.querySelector("img");
    cell.classList.toggle("hide-part", isPart && isWhole);
    if (!image || !hasSize(image)) return;
    const { w, h, W, H, reduced } = image.shows;
    const scale = isPart ? 1 : Math.min(1, room / w, high / h, (reduced || Math.max(w, h)) / Math.max(w, h));
    const most = isPart ? Math.min(PART, room) : Infinity;
    const [width, height] = [w, h].map((n) => Math.max(1, Math.min(most, Math.floor(n * scale))));
    const pan = isPart ? [Math.floor((w - width) / 2), Math.floor((h - height) / 2)] : [0, 0];
    const [full, tall] = isPart ? [w, h] : [width, height];
    Object.assign(frame.style, { width: `${width}px`, height: `${height}px` });
    Object.assign(image.style, { width: `${full}px`, height: `${tall}px`, left: `${-pan[0]}px`, top: `${-pan[1]}px` });
    image.pan = pan;
    cell.style.width = `${Math.min(room, Math.max(width, 150))}px`;
    const said = sizeWords([image], frame, isPart ? 1 : 0);
    cell.querySelector(".size").textContent = isPart ? `${width < W || height < H ? "part at" : "at"} full size, ${said}` : `${ROLES[image.place]}, ${said}`;
    if (!isPart) isWhole = !reduced && scale === 1;
  });
});
const marked = (value) => (value || "not asked").replaceAll("_", " ");
const showDesk = () => {
  const entry = deskList[deskAt];
  $("desk-edit").hidden = !entry;
  ["desk-before", "desk-after", "desk-open"].forEach((id) => { $(id).disabled = !entry; });
  if (!entry) return;
  $("desk-place").textContent = [`${deskAt + 1} of ${deskList.length}`, entry.id, entry.method, entry.editor].filter(Boolean).join(" · ");
  $("desk-prompt").textContent = entry.prompt;
  $("desk-pictures").replaceChildren(deskColumn(entry, 0), deskColumn(entry, 3));
  fitDesk();
  const boxes = new Map();
  verdictsOf(entry).forEach((x) => {
    if (!boxes.has(x.judge)) boxes.set(x.judge, make("div", { class: "verdict" }, make("h3", { text: judges[x.judge] })));
    const why = x.reason ? `, ${x.reason.replaceAll("_", " ")}` : x.score ? `, score ${x.score}` : "";
    boxes.get(x.judge).append(make("p", { class: `value${x.value === 2 ? " o2" : ""}`, text: `${x.question}: ${VERDICTS[x.value]}${why}` }),
      make("p", { class: "why", dir: "auto", text: x.reasoning || "no reasoning was given" }));
  });
  const people = make("div", { class: "verdict" }, make("h3", { text: "People" }));
  entry.labels.forEach(([rater, semantic, perceptual]) => {
    people.append(make("p", { class: "value", text: `${rater}: semantic ${marked(semantic)}, perceptual ${marked(perceptual)}` }));
    desk.notes.filter(([number, by]) => number === entry.index && by === rater).forEach(([, , note]) => people.append(make("p", { class: "why", dir: "auto", text: note })));
  });
  if (!entry.labels.length) people.append(make("p", { class: "soft", text: "no label" }));
  $("desk-said").replaceChildren(...boxes.values(), people);
  showOwn();
  reach("#desk-prompt, .desk-said .why");
};
const showOwn = () => {
  const entry = deskList[deskAt];
  if (entry) {
    const now = answersOf(entry);
    document.querySelectorAll("#desk [data-value]").forEach((button) => {
      const question = button.closest("fieldset").dataset.question;
      button.setAttribute("aria-pressed", String(now[question] === button.dataset.value));
    });
    $("desk-flag").setAttribute("aria-pressed", String(now.flag));
    if ($("desk-note").value !== now.note) $("desk-note").value = now.note;
    $("desk-answered").textContent = Boolean(now.semantic) !== Boolean(now.perceptual) ? "one question is open" : "";
  }
  const every = [...own.values()];
  const counts = [["flagged", every.filter((x) => x.flag)], ["labelled", every.filter((x) => x.semantic || x.perceptual)], ["noted", every.filter((x) => x.note)]];
  $("desk-counts").replaceChildren("By you: ", ...counts.flatMap(([name, some], i) => [i ? ", " : "", some.length ? make("a", { href: `#set=mine:${name}`, text: `${some.length} ${name}` }) : `0 ${name}`]));
  $("desk-kept").className = kept ? "note" : "warning";
  $("desk-kept").textContent = kept ? "Kept in this browser only, under the signature of this report. Nobody else sees it until you save and send it." : "This browser refuses to keep it for this page, as some do for files: it is lost when the page is closed. Save it before.";
  showSaves();
};
const stepDesk = (by) => { // where the desk is can be sent; the history is not filled with steps
  if (deskList.length) go({ look: deskList[(deskAt + by + deskList.length) % deskList.length].key }, { replace: true });
};
const listDesk = () => {
  if (desk.sources.length > 1) showTables();
  [deskList, deskShown] = listOf();
};
const moveDesk = (isListed) => {
  const was = deskList[deskAt];
  if (isListed) listDesk();
  const look = byKey.get(address().get("look") || "");
  if (look && !deskList.includes(look)) [deskList, deskShown] = [[look], `the one edit that the address names; it is none of these: ${listOf()[1]}`];
  deskAt = Math.max(deskList.indexOf(look || was), 0);
  $("desk-list").textContent = deskShown;
  $("desk-gallery").hidden = !setOf(address().get("set") || "").words;
  if (!deskList.length) $("desk-place").textContent = "No edit";
  showDesk();
};

/* out of the page */
const RATER = /^[\p{L}\p{N}_][\p{L}\p{N}_ .@+'’-]{0,59}$/u; // as `isr label` takes names
/* of labels, for isr label --import: cells stay raw, since a note must arrive as it was written; a table to read has csvOf with its guard */
const rawCsv = (rows) => rows.map((row) => row.map((cell) => `"${String(cell).replaceAll("\0", "").replaceAll('"', '""')}"`).join(",")).join("\n") + "\n";
const inHome = (entry, home) => home.runs.some((run) => entry.o[run] !== null);
const mine = (test) => all.filter((entry) => test(answersOf(entry)));
const raterName = () => {
  const name = $("desk-rater").value.trim();
  const good = RATER.test(name);
  $("desk-rater").setAttribute("aria-invalid", String(!good));
  $("desk-trouble").textContent = good ? "" : "Your name: 1 to 60 letters, digits, spaces or . @ + ' -, beginning with a letter, digit or _.";
  return good ? name : "";
};
const fileName = (...parts) => `${parts.filter(Boolean).join("-").replace(/[^\p{L}\p{N}_.@+-]+/gu, "_")}.csv`;
const saveLabels = (home) => {
  const rater = raterName();
  if (!rater) return;
  const rows = mine((x) => x.semantic || x.perceptual).filter((entry) => inHome(entry, home)).map((entry) => {
    const x = answersOf(entry);
    const digest = desk.digests[entry.index];
    return [entry.id, rater, x.semantic, x.perceptual, digest && `sha256:${digest}`, entry.at.image_id, x.time, desk.guideline, desk.mark.value, x.flag ? "flagged" : "", x.note.trim()];
  });
  const head = ["edit_id", "rater", "semantic", "perceptual", "edit_sha256", "image_id", "time", "guideline", desk.mark.column, "flag", "note"];
  save(new Blob([rawCsv([head, ...rows])], { type: "text/csv" }), fileName("labels", desk.homes.length > 1 ? home.name : "", rater));
  unsaved = false;
};
const showSaves = () => {
  const labelled = mine((x) => x.semantic || x.perceptual);
  const buttons = desk.homes.map((home) => [home, labelled.filter((entry) => inHome(entry, home)).length]).map(([home, n]) => {
    const of = desk.homes.length > 1 ? ` of ${home.name}` : "";
    const button = make("button", { type: "button", class: "mode", text: `Save ${n} label${n === 1 ? "" : "s"}${of} for isr label --import` });
    button.disabled = !n;
    button.addEventListener("click", () => saveLabels(home));
    return button;
  });
  $("desk-saves").replaceChildren(...buttons);
  $("desk-notes").disabled = !own.size;
};
const saveNotes = () => {
  const rater = raterName();
  if (!rater) return;
  const head = ["edit_id", "edit_sha256", "image_id", "prompt", "method", "editor", "rater", "semantic", "perceptual", "flag", "note", "time", desk.mark.column];
  const rows = mine(isSaid).map((entry) => {
    const x = answersOf(entry);
    const digest = desk.digests[entry.index];
    return [entry.id, digest && `sha256:${digest}`, entry.at.image_id, entry.prompt, entry.method, entry.editor, rater, x.semantic, x.perceptual, x.flag ? "flagged" : "", x.note, x.time, desk.mark.value];
  });
  save(new Blob([csvOf([head, ...rows])], { type: "text/csv" }), fileName("notes", rater));
  unsaved = false;
};

return (data) => {
  desk = data;
  if (!all.length) return;
  $("desk-all").hidden = false;
  $("desk-alone").hidden = desk.sources.length > 1;
  $("desk-cross").hidden = desk.sources.length < 2;
  $("desk-note").maxLength = desk.mark.note;
  document.querySelectorAll("#desk fieldset").forEach((box) => { box.querySelector("legend").textContent = desk.titles[box.dataset.question]; });
  desk.sources.forEach((source, i) => ["desk-first", "desk-second"].forEach((id) => $(id).append(make("option", { value: i, text: source.name }))));
  const pairs = desk.sources.flatMap((_, a) => desk.sources.map((_, b) => [a, b]).filter(([x, y]) => x < y));
  usual = pairs.find(([a, b]) => meet(a, b).length) || usual;
  restore();
  const choose = () => {
    const set = address().get("set") || "";
    go({ desk: `${$("desk-first").value}.${$("desk-second").value}`, ...(set.startsWith("desk:") ? { set: "" } : {}), look: "" });
  };
  $("desk-choose").addEventListener("change", choose);
  $("desk-choose").addEventListener("submit", (event) => event.preventDefault());
  $("desk-before").addEventListener("click", () => stepDesk(-1));
  $("desk-after").addEventListener("click", () => stepDesk(1));
  $("desk-open").addEventListener("click", () => openEntry(deskList[deskAt]));
  const press = (button) => {
    const question = button.closest("fieldset").dataset.question;
    const entry = deskList[deskAt];
    saying(entry, { [question]: answersOf(entry)[question] === button.dataset.value ? "" : button.dataset.value });
  };
  document.querySelectorAll("#desk [data-value]").forEach((button) => button.addEventListener("click", () => press(button)));
  const flag = () => saying(deskList[deskAt], { flag: !answersOf(deskList[deskAt]).flag });
  $("desk-flag").addEventListener("click", flag);
  $("desk-note").addEventListener("input", () => saying(deskList[deskAt], { note: $("desk-note").value }));
  $("desk-rater").addEventListener("input", () => { raterName(); store(() => {}); });
  $("desk-form").addEventListener("submit", (event) => event.preventDefault());
  $("desk-notes").addEventListener("click", saveNotes);
  $("desk").addEventListener("click", (event) => { // the set that is shown already: back to its first edit
    const link = event.target.closest('a[href^="#set="]');
    if (!link || address().get("set") !== link.hash.slice(5) || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    go({ look: "" });
    deskList = [];
    moveDesk(true);
    show("desk-one");
  });
  $("desk-one").addEventListener("keydown", (event) => {
    if (event.key === "Escape") $("desk-one").focus();
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey || !deskList.length) return;
    const answer = "123qwe".indexOf(event.key.toLowerCase());
    if (event.key === "ArrowRight") stepDesk(1);
    else if (event.key === "ArrowLeft") stepDesk(-1);
    else if (answer >= 0) press(document.querySelectorAll("#desk [data-value]")[answer]);
    else if (event.key.toLowerCase() === "f") flag();
    else if (event.key.toLowerCase() === "n") $("desk-note").focus();
    else if (event.key === "Enter" && event.target === $("desk-one")) openEntry(deskList[deskAt]);
    else return;
    event.preventDefault();
  });
  addEventListener("resize", fitDesk);
  addEventListener("storage", (event) => { if (event.key === desk.key) { restore(); showOwn(); } });
  addEventListener("beforeunload", (event) => { if (!kept && unsaved && own.size) event.preventDefault(); });
  let seen = null, listed = null; // what the desk shows depends on these alone
  const deskMoved = () => {
    const list = JSON.stringify(["set", "desk"].map((key) => address().get(key)));
    const now = list + address().get("look");
    if (now !== seen) moveDesk(list !== listed || !deskList.includes(byKey.get(address().get("look"))));
    [seen, listed] = [now, list];
  };
  addEventListener("moved", deskMoved);
  deskMoved();
};
})();
