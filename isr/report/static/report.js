"use strict";
/* The report's gallery, viewer, downloads and theme. Texts of the data enter the page as text only. */
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const OUTCOMES = ["immunized", "not immunized", "undecided"];
  const VERDICTS = ["fails", "fine", "undecided"];
  const ROLES = ["source", "protected", "control", "edit"];

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined) continue;
      if (name === "text") element.textContent = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };

  /* what scrolls can be reached with the keyboard */
  const reach = (selector) => document.querySelectorAll(selector).forEach((box) => {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });

  /* theme ----------------------------------------------------------------- */
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const show = (isDark) => {
    root.dataset.theme = isDark ? "dark" : "light";
    $("theme").setAttribute("aria-pressed", String(isDark));
  };
  show(dark.matches);
  dark.addEventListener("change", (event) => show(event.matches));
  $("theme").addEventListener("click", () => show(root.dataset.theme !== "dark"));

  /* downloads and copies ---------------------------------------------------- */
  const downloads = JSON.parse($("downloads").textContent);
  const say = (text) => { $("said").textContent = text; };
  const save = (blob, name) => {
    const url = URL.createObjectURL(blob);
    const link = make("a", { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    say(`${name} was saved`);
  };
  const picture = (svg, name) => {
    const url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    const image = new Image();
    image.onload = () => {
      const canvas = make("canvas");
      canvas.width = 2 * image.width;
      canvas.height = 2 * image.height;
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => save(blob, name), "image/png");
      URL.revokeObjectURL(url);
    };
    image.src = url;
  };
  document.addEventListener("click", (event) => {
    const saving = event.target.closest("[data-save]");
    if (saving) {
      const name = saving.dataset.figure;
      const kind = saving.dataset.save;
      const figure = downloads[name];
      if (kind === "csv") save(new Blob([figure.csv], { type: "text/csv" }), `${name}.csv`);
      else if (kind === "svg") save(new Blob([figure.svg], { type: "image/svg+xml" }), `${name}.svg`);
      else picture(figure.svg, `${name}.png`);
    }
    const copying = event.target.closest("[data-copy]");
    if (copying) {
      const source = $(copying.dataset.copy);
      const range = document.createRange();
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
      copying.textContent = "Copied";
      setTimeout(() => { copying.textContent = "Copy"; }, 1500);
    }
  });

  /* what is folded up on the screen is printed in full */
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((box) => { box.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((box) => { box.open = false; }));

  /* data -------------------------------------------------------------------- */
  const images = JSON.parse($("images").textContent);
  const unpack = async () => {
    const bytes = Uint8Array.from(atob($("data").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).json();
  };

  let texts = [], judges = [], runs = [], all = [], shown = [];
  const verdictsOf = (entry) => {
    const out = [];
    entry.v.forEach((v, judge) => {
      if (!v) return;
      ["semantic", "perceptual"].forEach((question, q) => {
        const [value, reason, score, reasoning] = v.slice(4 * q, 4 * q + 4);
        out.push({ judge, question, value, reason: texts[reason], score: texts[score], reasoning: texts[reasoning] });
      });
    });
    return out;
  };
  const read = (raw, index) => {
    const [id, p, m, e, s, img, c, o, v, l] = raw;
    const entry = { index, id, prompt: texts[p], method: texts[m], editor: texts[e], split: texts[s], img, control: c, o, v };
    entry.labels = (l || []).map((cells) => cells.map((cell) => texts[cell]));
    const verdicts = verdictsOf(entry);
    entry.text = [id, entry.prompt, entry.method, ...verdicts.map((x) => x.reasoning)].join("\n").toLowerCase();
    entry.fails = { semantic: verdicts.some((x) => x.question === "semantic" && x.value === 0), perceptual: verdicts.some((x) => x.question === "perceptual" && x.value === 0) };
    entry.dispute = 0;
    entry.people = false;
    for (const [q, question] of ["semantic", "perceptual"].entries()) {
      const said = verdicts.filter((x) => x.question === question && x.value < 2).map((x) => x.value);
      const fails = said.filter((x) => x === 0).length;
      entry.dispute += Math.min(fails, said.length - fails);
      const votes = entry.labels.map((x) => x[1 + q]).filter((x) => x === "fails" || x === "fine");
      const against = votes.filter((x) => x === "fails").length;
      const crowd = 2 * against === votes.length ? -1 : 2 * against > votes.length ? 0 : 1;
      if (crowd >= 0 && said.some((x) => x !== crowd)) entry.people = true;
    }
    const scores = verdicts.flatMap((x) => x.score.split("|")).filter((x) => x !== "").map(Number);
    entry.low = scores.length ? Math.min(...scores) : 99;
    return entry;
  };

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
    shown = all.filter((x) =>
      (outcome === "" || x.o.includes(Number(outcome))) && (!test || test(x)) &&
      (method === "" || x.method === all[method].method) && (editor === "" || x.editor === all[editor].editor) &&
      (split === "" || x.split === all[split].split) && words.every((word) => x.text.includes(word)));
    const order = ORDERS[$("f-sort").value];
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

  /* one edit, large ---------------------------------------------------------------- */
  const viewer = $("viewer"), stage = $("stage");
  const PAIRS = [[0, 1], [0, 3], [2, 3], [0, 2], [1, 3]];
  let at = 0, mode = "side", timer = 0;
  PAIRS.forEach(([a, b], i) => $("pair").append(make("option", { value: i, text: `${ROLES[a]} and ${ROLES[b]}` })));
  const open = (place) => {
    if (!shown.length) return;
    at = place;
    if (!viewer.open) viewer.showModal();
    fill();
  };
  const fill = () => {
    const entry = shown[at];
    $("viewer-title").textContent = [`${at + 1} of ${shown.length}`, entry.id, entry.method, entry.editor, entry.split].filter(Boolean).join(" · ");
    $("viewer-prompt").textContent = entry.prompt;
    stageOf(entry);
    const box = $("verdicts");
    box.replaceChildren();
    const head = make("div", { class: "verdict" }, make("h3", { text: "Outcome" }));
    outcomeWords(entry).forEach(([o, words]) => head.append(make("p", { class: `o${o}`, text: words })));
    if (entry.control !== null) head.append(make("p", { class: "soft", text: `control edit: ${entry.control === 0 ? "fails" : entry.control === 1 ? "does not fail" : "undecided"}` }));
    entry.labels.forEach(([rater, semantic, perceptual]) => head.append(make("p", { class: "soft", text: `label by ${rater}: semantic ${semantic || "not asked"}, perceptual ${perceptual || "not asked"}`.replaceAll("cannot_tell", "cannot tell") })));
    box.append(head);
    verdictsOf(entry).forEach((x) => {
      const why = x.reason ? ` (${x.reason.replaceAll("_", " ")})` : "";
      box.append(make("div", { class: "verdict" }, make("h3", { text: `${judges[x.judge]}, ${x.question}: ${VERDICTS[x.value]}${why}` }),
        x.score ? make("p", { class: "soft", text: `score ${x.score} of 4` }) : "", make("p", { dir: "auto", text: x.reasoning || "no reasoning was given" })));
    });
    reach("#viewer-prompt, .verdict p");
  };
  const large = (entry, place) => {
    const url = images[entry.img[place]];
    return url ? make("img", { src: url, alt: alt(entry, ROLES[place]) }) : make("span", { class: "empty", text: "none" });
  };
  const stageOf = (entry) => {
    clearInterval(timer);
    stage.replaceChildren();
    stage.className = `stage ${mode}${$("zoom").getAttribute("aria-pressed") === "true" ? " zoomed" : ""}`;
    $("slider-box").hidden = mode !== "slide";
    if (mode === "side") {
      ROLES.forEach((role, i) => stage.append(make("div", { class: "cell" }, large(entry, i), make("span", { text: role }))));
      return;
    }
    const [a, b] = PAIRS[Number($("pair").value)];
    const stack = make("div", { class: `stack ${mode}` });
    if (mode === "difference" && a === 0 && b === 1 && entry.img[4]) {
      stack.className = "stack";
      stack.append(make("img", { src: images[entry.img[4]], alt: "amplified difference of protected and source image" }));
    } else stack.append(large(entry, a), large(entry, b));
    stage.append(make("div", { class: "cell" }, stack, make("span", { id: "under", text: `${ROLES[a]} and ${ROLES[b]}` })));
    const over = stack.children[1];
    if (mode === "slide" && over) slide();
    if (mode === "flicker" && over) {
      let on = true;
      timer = setInterval(() => {
        on = !on;
        over.style.visibility = on ? "visible" : "hidden";
        $("under").textContent = ROLES[on ? b : a];
      }, 500);
    }
  };
  const slide = () => {
    const over = stage.querySelector(".stack img + img");
    if (over) over.style.clipPath = `inset(0 0 0 ${$("slider").value}%)`;
  };
  const setMode = (name) => {
    mode = name;
    document.querySelectorAll(".mode").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.mode === name)));
    stageOf(shown[at]);
  };
  const step = (by) => {
    at = (at + by + shown.length) % shown.length;
    fill();
  };
  $("slider").addEventListener("input", slide);
  $("pair").addEventListener("change", () => (mode === "side" ? setMode("slide") : stageOf(shown[at])));
  document.querySelectorAll(".mode").forEach((button) => button.addEventListener("click", () => setMode(button.dataset.mode)));
  const zoom = () => {
    const on = $("zoom").getAttribute("aria-pressed") !== "true";
    $("zoom").setAttribute("aria-pressed", String(on));
    stage.classList.toggle("zoomed", on);
  };
  $("zoom").addEventListener("click", zoom);
  $("before").addEventListener("click", () => step(-1));
  $("after").addEventListener("click", () => step(1));
  $("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("close", () => { clearInterval(timer); focusCard(at); });
  viewer.addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT)$/.test(event.target.tagName)) return;
    if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
    else if ("1234".includes(event.key)) setMode(["side", "slide", "flicker", "difference"][Number(event.key) - 1]);
    else if (event.key === "z" || event.key === "Z") zoom();
    else return;
    event.preventDefault();
  });

  /* begin ----------------------------------------------------------------------------- */
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("input", filter);
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }, { passive: true });
  reach(".wide");
  addEventListener("resize", () => { layout(); reach(".wide"); });
  const begin = async () => {
    const data = await unpack();
    ({ texts, judges, runs } = data);
    all = data.entries.map(read);
    choices("f-method", "method");
    choices("f-editor", "editor");
    choices("f-split", "split");
    filter();
    root.dataset.ready = "true";
  };
  begin().catch((error) => { $("count").textContent = `The gallery cannot be shown: ${error.message}`; });
})();
