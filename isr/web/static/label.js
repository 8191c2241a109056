"use strict";
/* One click at a time: a key counts when the server has it on disk, and only then the page goes on. */
(() => {
  const $ = (id) => document.getElementById(id);
  const KEYS = { 1: ["semantic", "fine"], 2: ["semantic", "fails"], 3: ["semantic", "cannot_tell"], q: ["perceptual", "fails"], w: ["perceptual", "fine"], e: ["perceptual", "cannot_tell"] };
  const ARROWS = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] };
  const UNSEEN = "Not kept: the pictures are not there yet. Wait.";
  const AWAY = "Not kept: the server does not answer. Wait.";
  let state = null, began = 0, queue = [], sending = false;
  let pause = 0, late = false; // the note: until it is sent, and whether it waits for the server
  let unseen = ""; // why a picture cannot be shown
  let waiting = "", refused = 0; // while a click is sent again: why, and how many keys were refused meanwhile
  history.replaceState(null, "", "/");

  const id = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (x) => x.toString(16).padStart(2, "0")).join("");
  const say = (text, bad = false) => {
    $("status").textContent = text;
    $("status").classList.toggle("bad", bad);
  };
  const post = async (path, body) => {
    const reply = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: AbortSignal.timeout(15000) });
    if (reply.status === 403) throw Object.assign(new Error("This page belongs to an earlier start of the server. Open the new address that the command printed, and sign in with the same name: nothing that was kept is lost."), { foreign: true });
    const found = await reply.json().catch(() => ({}));
    if (!reply.ok) throw Object.assign(new Error(found.error || `The server answered ${reply.status}.`), { final: true });
    return found;
  };

  const show = (next) => {
    const moved = !state || state.position !== next.position || state.rater !== next.rater;
    state = next;
    $("sign-in").hidden = true;
    $("work").hidden = state.finished;
    $("end").hidden = !state.finished;
    $("bar").max = state.total;
    $("bar").value = state.position;
    $("count").textContent = `${Math.min(state.position + 1, state.total)} of ${state.total}`;
    $("who").textContent = state.rater;
    if (state.finished) {
      $("end-text").textContent = `All ${state.total} are kept under the name ${state.rater}.`;
      buttons();
      document.documentElement.dataset.position = state.position;
      document.documentElement.dataset.finished = "true";
      return;
    }
    delete document.documentElement.dataset.finished;
    if (moved) {
      clearTimeout(pause);
      late = false;
      began = performance.now();
      prompt(state.prompt);
      $("note").value = state.note;
      $("source-box").hidden = !state.source;
      document.querySelector(".pictures").classList.toggle("single", !state.source);
      const base = `/picture/${encodeURIComponent(state.rater)}/${state.position}`;
      unseen = "";
      if (state.source) $("source").src = `${base}/source`;
      else $("source").removeAttribute("src");
      $("edit").src = `${base}/edit`;
      view.fresh(String(state.position));
      if (state.position + 1 < state.total) new Image().src = `/picture/${encodeURIComponent(state.rater)}/${state.position + 1}/edit`;
    }
    document.querySelectorAll("fieldset button").forEach((button) => {
      const question = button.closest("fieldset").dataset.question;
      button.setAttribute("aria-pressed", String(state.marks[question] === button.dataset.value));
    });
    buttons();
    document.documentElement.dataset.position = state.position;
  };
  /* the prompt has room of one size, so that no button moves: a long one is smaller, a longer one scrolls */
  const prompt = (text) => {
    const box = $("prompt").parentElement, longer = () => box.scrollHeight > box.clientHeight + 1;
    $("prompt").textContent = text;
    box.classList.remove("long", "cut");
    box.scrollTop = 0;
    box.classList.toggle("long", longer());
    box.classList.toggle("cut", longer());
    if (longer()) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  };
  const buttons = () => {
    document.querySelectorAll("fieldset button, #undo, #end-undo").forEach((button) => { button.disabled = Boolean(waiting); });
    $("next").disabled = Boolean(waiting) || !(state.marks.semantic && state.marks.perceptual);
    $("note").readOnly = Boolean(waiting);
  };

  /* Clicks wait in line; each has an id of its own, so that it can be sent again, and the position it was made at,
     so that it can never count for another item. While the server does not answer no click is taken at all. */
  const click = (action, question = "", value = "") => {
    if (!state) return;
    if (view.covers()) view.all(); // the answers lie under it
    if (waiting) {
      refused += 1;
      say(waiting, true);
      return;
    }
    if ((action === "mark" || action === "done") && !seen()) {
      say(unseen || UNSEEN, true);
      return;
    }
    queue.push({ action, question, value, position: state.position, id: id() });
    drain();
  };
  const drain = async () => {
    if (sending) return;
    sending = true;
    while (queue.length) {
      const { action, question, value, position, id: name } = queue[0];
      if (position !== state.position) {
        queue = [];
        say("Not kept: keys that were pressed before this item was shown. Press them again.", true);
        continue;
      }
      if (action === "done" && !(state.marks.semantic && state.marks.perceptual)) {
        say("Answer both questions first.");
        queue.shift();
        continue;
      }
      if (action === "mark" && state.marks[question] === value) { queue.shift(); continue; }
      const seconds = action === "done" ? Math.round((performance.now() - began) / 10) / 100 : 0;
      const looked = action === "done" ? { look: view.look() } : {};
      try {
        const next = await post("/api/click", { rater: state.rater, id: name, position, action, question, value, seconds, ...looked });
        queue.shift();
        waiting = "";
        show(next);
        say(refused ? `The server answers again. Not kept: ${refused} key(s) pressed meanwhile. Look at the answers.` : "", refused > 0);
        if (!queue.length) refused = 0;
      } catch (error) {
        if (error.final) {
          queue = [];
          waiting = "";
          refused = 0;
          say(error.message, true);
          try { show(await (await fetch(`/api/state?rater=${encodeURIComponent(state.rater)}`)).json()); } catch { buttons(); /* said above */ }
        } else {
          waiting = error.foreign ? error.message : AWAY;
          buttons();
          say(error.foreign || refused ? waiting : "Not kept yet: the server does not answer. Trying again.", true);
          await new Promise((done) => setTimeout(done, 1000));
        }
      }
    }
    sending = false;
    if (late) {
      late = false;
      keepNote();
    }
    document.documentElement.dataset.idle = String(performance.now());
  };

  /* nobody answers about a picture that is not on the screen */
  const seen = () => !unseen && ["edit", ...(state.source ? ["source"] : [])].every((name) => $(name).complete && $(name).naturalWidth > 0);
  const failed = async (event) => {
    const image = event.target, url = image.src;
    if (!state || state.finished || !image.hasAttribute("src")) return;
    let reason;
    try {
      const reply = await fetch(url);
      if (reply.ok) reason = "";
      else reason = (await reply.json().catch(() => ({}))).error || `The server answered ${reply.status}.`;
    } catch { reason = ""; }
    if (image.src !== url) return;
    if (reason) {
      unseen = `Not kept: a picture cannot be shown. ${reason}`;
      say(unseen, true);
      return;
    }
    say(UNSEEN, true);
    setTimeout(() => { if (image.src === url) image.src = url; }, 1000);
  };
  const loaded = () => { if ($("status").textContent === UNSEEN && seen()) say(""); };
  for (const name of ["source", "edit"]) {
    $(name).addEventListener("error", failed);
    $(name).addEventListener("load", loaded);
  }

  $("name-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      show(await post("/api/sign-in", { rater: $("name").value.trim() }));
      document.activeElement.blur();
    } catch (error) {
      $("name-trouble").textContent = error instanceof TypeError ? "The server does not answer." : error.message;
    }
  });
  document.querySelectorAll("fieldset button").forEach((button) => button.addEventListener("click", () => {
    click("mark", button.closest("fieldset").dataset.question, button.dataset.value);
    button.blur();
  }));
  const next = () => click("done");
  const undo = () => click("undo");
  $("next").addEventListener("click", () => { next(); document.activeElement.blur(); });
  $("undo").addEventListener("click", undo);
  $("end-undo").addEventListener("click", undo);
  /* a note is kept while it is written, so that a closed page loses none of it */
  const unkept = () => state && !state.finished && $("note").value !== state.note;
  const keepNote = () => {
    clearTimeout(pause);
    if (!unkept()) return;
    if (waiting) late = true;
    else click("note", "", $("note").value);
  };
  $("note").addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(keepNote, 400); });
  $("note").addEventListener("change", keepNote);
  addEventListener("pagehide", () => {
    if (!unkept()) return;
    const body = JSON.stringify({ rater: state.rater, id: id(), position: state.position, action: "note", value: $("note").value });
    fetch("/api/click", { method: "POST", keepalive: true, headers: { "Content-Type": "application/json" }, body }).catch(() => {});
  });
  $("note").addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === "Escape") { event.preventDefault(); $("note").blur(); }
  });
  for (const name of ["help-button", "read-first"]) $(name).addEventListener("click", () => $("help").showModal());
  $("help-close").addEventListener("click", () => $("help").close());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "INPUT" || $("help").open || !state) return;
    const key = event.key.toLowerCase();
    if (state.finished && key !== "backspace") return;
    if (event.repeat && (key in KEYS || key === " " || key === "backspace")) { event.preventDefault(); return; }
    if (key in KEYS) click("mark", ...KEYS[key]);
    else if (key === " ") next();
    else if (key === "backspace") undo();
    else if (key === "n") $("note").focus();
    else if (key === "z") view.toggle();
    else if (key === "+" || key === "=") view.by(1.25);
    else if (key === "-") view.by(0.8);
    else if (key in ARROWS && view.zoomed()) view.step(...ARROWS[key]);
    else if (key === "escape" && view.zoomed()) view.all();
    else if (key === "h" || key === "?") $("help").showModal();
    else return;
    event.preventDefault();
  });
  addEventListener("resize", () => { if (state && !state.finished) prompt(state.prompt); });
  $("name").focus();
})();
