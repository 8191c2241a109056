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
const openEntry = (entry) => {
  const place = shown.indexOf(entry);
  if (place >= 0) { open(place); return; }
  shown = [entry];
  layout();
  open(0);
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
