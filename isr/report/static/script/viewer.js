/* one edit, large ---------------------------------------------------------------- */
const viewer = $("viewer"), stage = $("stage");
const PAIRS = [[0, 1], [0, 3], [2, 3], [0, 2], [1, 3]];
const stillness = matchMedia("(prefers-reduced-motion: reduce)");
let viewed = null, mode = "side", wantsWhole = false, timer = 0; // whole: the file's own pixels are wanted (1:1)
let isLent = false; // 1:1 was asked for by who opened the edit, not by the reader: it ends with the dialog
let panCentre = [0.5, 0.5]; // of what is seen at 1:1, as shares of the picture: the same in all pictures
let opened = () => {}, closed = () => {}; // (entry) => what others do when an edit is shown; when none is any more
PAIRS.forEach(([a, b], i) => $("pair").append(make("option", { value: i, text: `${ROLES[a]} and ${ROLES[b]}` })));

const open = (place) => { if (shown[place]) openEntry(shown[place]); };
const openEntry = (entry, { whole = false } = {}) => {
  if (viewer.open && viewed === entry) return;
  if (whole && !wantsWhole) wantsWhole = isLent = true;
  viewed = entry;
  panCentre = [0.5, 0.5];
  if (!viewer.open) viewer.showModal();
  viewer.scrollTop = 0;
  fill();
  opened(entry);
};
const step = (by) => {
  if (!shown.length) return;
  const at = shown.indexOf(viewed);
  open(at < 0 ? (by > 0 ? 0 : shown.length - 1) : (at + by + shown.length) % shown.length);
};
const fill = () => {
  const entry = viewed, at = shown.indexOf(entry);
  $("viewer-title").textContent = [at < 0 ? "" : `${at + 1} of ${shown.length}`, entry.id, entry.method, entry.editor, entry.at.purifier && `purifier ${entry.at.purifier}`, entry.split].filter(Boolean).join(" · ");
  $("viewer-prompt").textContent = entry.prompt;
  stageOf(entry);
  const box = $("verdicts");
  box.replaceChildren();
  const head = make("div", { class: "verdict" }, make("h3", { text: "Outcome" }));
  outcomeWords(entry).forEach(([o, words]) => head.append(make("p", { class: `o${o}`, text: words })));
  const control = controlWords(entry.control, "").map(([, words]) => words);
  if (control.length) head.append(make("p", { class: "soft", text: `control edit: ${control.join(", ")}` }));
  entry.labels.forEach(([rater, semantic, perceptual]) => head.append(make("p", { class: "soft", text: `label by ${rater}: semantic ${semantic || "not asked"}, perceptual ${perceptual || "not asked"}`.replaceAll("cannot_tell", "cannot tell") })));
  box.append(head);
  verdictsOf(entry).forEach((x) => {
    const why = x.reason ? ` (${x.reason.replaceAll("_", " ")})` : "";
    box.append(make("div", { class: "verdict" }, make("h3", { text: `${judges[x.judge]}, ${x.question}: ${VERDICTS[x.value]}${why}` }),
      x.score ? make("p", { class: "soft", text: `score ${x.score} of 4` }) : "", make("p", { dir: "auto", text: x.reasoning || "no reasoning was given" })));
  });
  reach("#viewer-prompt, .verdict p");
};

/* which pictures ------------------------------------------------------------------- */
/* the amplified difference that was made of the files; else it is made here, of pixels as they are in the files */
const drawnDifference = (entry, [a, b]) => (a === 0 && b === 1 ? images[entry.img[4]] : "");
const sameSize = (a, b) => a && b && ["w", "h", "x", "y", "W", "H"].every((key) => a[key] === b[key] || !(a.W && b.W));
const isOffered = (entry, pair) => Boolean(drawnDifference(entry, pair)) || sameSize(...pair.map((i) => ownOf(entry.img[i])));
const pairShown = (entry) => {
  const select = $("pair");
  [...select.options].forEach((option, i) => { option.disabled = mode === "difference" && !isOffered(entry, PAIRS[i]); });
  if (select.selectedOptions[0].disabled) {
    const other = [...select.options].find((option) => !option.disabled);
    if (other) select.value = other.value;
  }
  return PAIRS[Number(select.value)];
};
const stageOf = (entry) => {
  clearInterval(timer);
  stage.replaceChildren();
  const pair = pairShown(entry);
  const isDrawn = mode === "difference" && !wantsWhole && Boolean(drawnDifference(entry, pair));
  const atWhole = mode === "difference" ? !isDrawn : wantsWhole && entry.img.slice(0, 4).some(ownOf);
  stage.className = `stage ${mode}${atWhole ? " zoomed" : ""}`;
  $("zoom").setAttribute("aria-pressed", String(atWhole));
  $("zoom").disabled = !entry.img.slice(0, 4).some(ownOf);
  $("slider-box").hidden = mode !== "slide";
  if (mode === "difference" && !isOffered(entry, pair)) {
    stage.append(make("p", { class: "note", text: "No difference is offered here: the pictures are of different sizes, or only smaller ones are in this page." }));
    stageNote("");
    return;
  }
  if (mode === "side") ROLES.forEach((role, i) => stage.append(cellOf(entry, [i], atWhole)));
  else if (isDrawn) stage.append(differenceOf(entry, pair));
  else stage.append(cellOf(entry, pair, atWhole));
  fitStage();
  const over = stage.querySelector(".stack img + img");
  if (mode === "flicker" && over) startFlicker(over, pair);
};
const stageNote = (words) => { $("stage-note").textContent = words; };
const panNote = (some) => {
  const canMove = some.some((image) => image.offsetWidth > image.parentElement.clientWidth || image.offsetHeight > image.parentElement.clientHeight);
  const isPart = some.some(({ shows: { w, h, W, H } }) => w < W || h < H);
  return [canMove ? "Drag a picture, or press Shift and an arrow: all of them move." : "", isPart ? "Only this part of each is in the page at full size." : ""].filter(Boolean).join(" ");
};
const large = (entry, role, url) => make("img", { src: url, alt: alt(entry, ROLES[role]), draggable: "false" });
const cellOf = (entry, places, atWhole) => {
  const frame = make("div", { class: `stack ${mode}` });
  const cell = make("div", { class: "cell" }, frame, make("span", { class: "role", text: places.map((i) => ROLES[i]).join(" and ") }), make("span", { class: "size" }));
  places.forEach((i) => {
    const n = entry.img[i], own = ownOf(n);
    const url = atWhole ? own?.url : images[n];
    if (!url) { frame.append(make("span", { class: "empty", text: images[n] ? "not here at full size" : "none" })); return; }
    const image = large(entry, i, url);
    image.shows = atWhole ? own : { ...sizeOf(n), url };
    image.addEventListener("load", fitStage);
    frame.append(image);
  });
  if (mode === "slide" && places.length === 2) frame.append(make("span", { class: "handle", "aria-hidden": "true" }, make("b", { text: ROLES[places[0]] }), make("b", { text: ROLES[places[1]] })));
  return cell;
};
const differenceOf = (entry, [a, b]) => {
  const frame = make("div", { class: "stack" });
  const image = make("img", { src: drawnDifference(entry, [a, b]), alt: `amplified difference of ${ROLES[b]} and ${ROLES[a]} image`, draggable: "false" });
  image.shows = { ...sizeOf(entry.img[4]), url: image.src };
  image.addEventListener("load", fitStage);
  frame.append(image);
  return make("div", { class: "cell" }, frame, make("span", { class: "role", text: `${ROLES[a]} and ${ROLES[b]}, made of the files` }), make("span", { class: "size" }));
};

/* where each picture lies in its frame ----------------------------------------------- */
const hasSize = (image) => {
  const own = image.shows;
  if (!own.W) Object.assign(own, { w: image.naturalWidth, h: image.naturalHeight, W: image.naturalWidth, H: image.naturalHeight }); // a link: only now is it known
  return own.W > 0;
};
const fitStage = () => {
  const atWhole = stage.classList.contains("zoomed");
  const frames = [...stage.querySelectorAll(".stack")].map((frame) => ({ frame, images: [...frame.querySelectorAll("img")].filter(hasSize) })).filter((x) => x.images.length);
  const high = Math.max(160, innerHeight * 0.52);
  const room = ({ frame }) => Math.floor(frame.parentElement.getBoundingClientRect().width);
  const times = atWhole ? Math.max(1, Math.min(...frames.flatMap((x) => x.images.map(({ shows: { w, h } }) => Math.floor(Math.min(room(x) / w, high / h)))))) : 0;
  frames.forEach((x) => {
    const { w, h } = x.images[0].shows;
    const scale = times || Math.min(room(x) / w, high / h);
    x.frame.style.width = `${Math.max(1, Math.floor(Math.min(room(x), w * scale)))}px`;
    x.frame.style.height = `${Math.max(1, Math.floor(Math.min(times ? high : Infinity, h * scale)))}px`;
    x.images.forEach((image) => placeImage(image, x.frame, times));
    x.frame.parentElement.querySelector(".size").textContent = sizeWords(x.images, x.frame, times);
  });
  stageNote(atWhole ? panNote(frames.flatMap((x) => x.images)) : "");
  const first = stage.querySelector(".stack.slide");
  if (first) $("slider-box").style.width = `${Math.max(first.clientWidth, 200)}px`;
  slide();
};
const clampTo = (value, low, high) => Math.max(low, Math.min(high, value));
const placeImage = (image, frame, times) => {
  const { w, h } = image.shows;
  const [width, height] = times ? [w * times, h * times] : [frame.clientWidth, frame.clientHeight];
  const [x, y] = times ? [[width, frame.clientWidth], [height, frame.clientHeight]].map(([all, part], i) => Math.round(clampTo(panCentre[i] * all - part / 2, 0, Math.max(0, all - part)))) : [0, 0];
  Object.assign(image.style, { width: `${width}px`, height: `${height}px`, left: `${-x}px`, top: `${-y}px` });
  image.pan = [x, y];
};
const sizeWords = (some, frame, times) => [...new Set(some.map((image) => {
  const { x = 0, y = 0, w, h, W, H, reduced = 0 } = image.shows;
  if (!times) {
    const longer = Math.max(W, H), room = Math.round(Math.max(frame.clientWidth, frame.clientHeight) * devicePixelRatio);
    const seen = Math.min(reduced || longer, room);
    return seen < longer ? `shown at ${seen} of ${longer} px` : `${longer} px, ${reduced ? "as JPEG" : "as it is"}${room > longer + 1 ? ", enlarged" : ""}`;
  }
  const [left, top] = image.pan.map((n) => Math.floor(n / times));
  const wide = Math.min(w, Math.ceil(frame.clientWidth / times)), tall = Math.min(h, Math.ceil(frame.clientHeight / times));
  const all = wide === W && tall === H ? `${Math.max(W, H)} px, as it is` : `${wide} x ${tall} px of ${W} x ${H}, from ${x + left}, ${y + top}`;
  return times > 1 ? `${all}, each pixel ${times} x ${times}` : all;
}))].join("; ");
const panBy = (dx, dy) => {
  const image = stage.querySelector(".stack img"), frame = image?.parentElement;
  if (!image || !stage.classList.contains("zoomed")) return;
  [[dx, image.offsetWidth, frame.clientWidth], [dy, image.offsetHeight, frame.clientHeight]].forEach(([by, all, part], i) => {
    panCentre[i] = (clampTo(image.pan[i] + by, 0, Math.max(0, all - part)) + part / 2) / all;
  });
  fitStage();
};

/* comparisons of two ------------------------------------------------------------------ */
const slide = () => {
  const frame = stage.querySelector(".stack.slide"), over = frame?.querySelector("img + img");
  if (!over) return;
  const share = Number($("slider").value);
  const isWhole = stage.classList.contains("zoomed");
  over.style.clipPath = `inset(0 0 0 ${isWhole ? `${over.pan[0] + frame.clientWidth * share / 100}px` : `${share}%`})`;
  frame.querySelector(".handle").style.left = `${share}%`;
};
const startFlicker = (over, pair) => {
  const role = over.closest(".cell").querySelector(".role");
  const see = (isOver) => {
    over.style.visibility = isOver ? "visible" : "hidden";
    role.textContent = ROLES[pair[isOver ? 1 : 0]] + (stillness.matches ? `: hold the picture, or the space bar, to see ${ROLES[pair[1]]}` : "");
  };
  stage.see = see;
  see(!stillness.matches);
  if (stillness.matches) return;
  let on = true;
  timer = setInterval(() => { on = !on; see(on); }, 500);
};
const holdOther = (isOver) => { if (mode === "flicker" && stillness.matches && stage.querySelector("img + img")) stage.see(isOver); };
const setMode = (name) => {
  mode = name;
  document.querySelectorAll(".mode").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.mode === name)));
  stageOf(viewed);
};
const zoom = () => {
  wantsWhole = !wantsWhole;
  isLent = false;
  stageOf(viewed);
};
$("slider").addEventListener("input", slide);
$("pair").addEventListener("change", () => (mode === "side" ? setMode("slide") : stageOf(viewed)));
document.querySelectorAll(".mode").forEach((button) => button.addEventListener("click", () => setMode(button.dataset.mode)));
$("zoom").addEventListener("click", zoom);
$("before").addEventListener("click", () => step(-1));
$("after").addEventListener("click", () => step(1));
$("close").addEventListener("click", () => viewer.close());
addEventListener("resize", () => { if (viewer.open) fitStage(); });
viewer.addEventListener("close", () => {
  clearInterval(timer);
  if (isLent) wantsWhole = isLent = false;
  const at = shown.indexOf(viewed);
  if (at >= 0) focusCard(at);
  viewed = null;
  closed();
});

/* hands --------------------------------------------------------------------------------- */
let grip = null; // what a pointer holds: the line of the slider, or the pictures
stage.addEventListener("pointerdown", (event) => {
  const frame = event.target.closest(".stack");
  if (!frame || event.button !== 0) return;
  holdOther(true);
  stage.setPointerCapture(event.pointerId);
  const box = frame.getBoundingClientRect(), isWhole = stage.classList.contains("zoomed");
  const line = box.left + box.width * Number($("slider").value) / 100;
  const isLine = mode === "slide" && (!isWhole || Math.abs(event.clientX - line) < 24);
  if (!isLine && !isWhole) return;
  grip = { box, isLine, x: event.clientX, y: event.clientY };
  if (isLine) dragTo(event);
});
const dragTo = (event) => {
  if (!grip) return;
  if (grip.isLine) {
    $("slider").value = 100 * (event.clientX - grip.box.left) / grip.box.width;
    slide();
    return;
  }
  panBy(grip.x - event.clientX, grip.y - event.clientY);
  Object.assign(grip, { x: event.clientX, y: event.clientY });
};
stage.addEventListener("pointermove", dragTo);
["pointerup", "pointercancel"].forEach((name) => stage.addEventListener(name, () => { grip = null; holdOther(false); }));
const ARROWS = { ArrowRight: [48, 0], ArrowLeft: [-48, 0], ArrowDown: [0, 48], ArrowUp: [0, -48] };
viewer.addEventListener("keydown", (event) => {
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (event.shiftKey && event.key in ARROWS) panBy(...ARROWS[event.key]);
  else if (event.key === "ArrowRight") step(1);
  else if (event.key === "ArrowLeft") step(-1);
  else if ("1234".includes(event.key)) setMode(["side", "slide", "flicker", "difference"][Number(event.key) - 1]);
  else if (event.key === "z" || event.key === "Z") zoom();
  else if (event.key === " " && event.target === stage) holdOther(true);
  else return;
  event.preventDefault();
});
viewer.addEventListener("keyup", (event) => { if (event.key === " ") holdOther(false); });
