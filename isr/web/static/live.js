"use strict";
(() => {
  const EVERY_MS = 1000, SLOW_MS = 10_000, ANNOUNCED = 10; // percent
  const WAITS_MS = [1000, 2000, 4000, 8000, 15_000, 30_000, 60_000]; // while the server is away; then it is asked no more
  const MOST_GONE = 60; // looks at a run that nobody goes on with
  const STATES = {
    running: "Running", waiting: "Nothing arrives", writing: "Running", finished: "Finished", stopped: "Stopped", interrupted: "Interrupted",
    unfinished: "Finished with requests left", failed: "Failed", gone: "Ended without finishing", away: "No reply from the server", earlier: "Earlier start",
  };
  const LAST = ["finished", "stopped", "interrupted", "unfinished", "failed"];
  const $ = (id) => document.getElementById(id);
  const name = $("title").textContent;
  const page = Math.random().toString(36).slice(2);
  history.replaceState(null, "", "/");
  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const duration = (seconds) => {
    const whole = Math.round(seconds);
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    return hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
  };
  const percent = (x) => `${(100 * x).toFixed(1)}%`;
  const number = (x) => x.toLocaleString("en");
  /* a name at the beginning, as of a card or a host, stays as it is */
  const sentence = (text) => text && text.replace(/^[a-z]+(?= )/, (word) => word[0].toUpperCase() + word.slice(1)) + (/[.…]$/.test(text) ? "" : ".");
  const picture = (digest, alt) => {
    const empty = element("span", `no ${alt}`, "empty");
    if (!digest) return empty;
    const image = document.createElement("img");
    image.alt = alt;
    image.onerror = () => image.replaceWith(empty);
    image.src = `/image/${encodeURIComponent(digest)}`;
    return image;
  };
  const box = (name, value, below) => {
    const made = document.createElement("div");
    made.append(element("dt", name), element("dd", value));
    if (below) made.append(element("dd", below, "soft"));
    return made;
  };

  /* what a screen reader is told: another state, or another tenth */
  let announced = "";
  const announce = (state, share) => {
    const tenth = share === null ? "" : `${Math.floor((100 * share) / ANNOUNCED) * ANNOUNCED}%`;
    const now = [STATES[state], tenth].filter(Boolean).join(", ");
    if (now === announced) return;
    announced = now;
    $("said").textContent = now;
  };
  const tell = (state, words) => {
    $("state").textContent = STATES[state] ?? "Run";
    document.title = `${name} · ${(STATES[state] ?? "run").toLowerCase()}`;
    document.documentElement.dataset.state = state;
    $("words").textContent = sentence(words);
    $("words").className = ["running", "writing", "finished"].includes(state) ? "" : "warning";
    $("words").hidden = !words;
  };

  let last = "";
  const showNewest = (newest) => {
    const key = JSON.stringify(newest.map((x) => [x.at, x.question, x.prompt.slice(0, 40)]));
    if (key === last) return;
    last = key;
    $("newest").replaceChildren(...newest.map((x) => {
      const row = element("div", "", "answer");
      const words = document.createElement("div");
      const score = x.score === null ? "" : `, score ${x.score}`;
      const said = [element("p", x.prompt), element("p", `${x.judge}: ${x.question} ${x.verdict}${x.reason ? ` (${x.reason.replaceAll("_", " ")})` : score}`, "soft"), element("p", x.reasoning, "soft")];
      said[0].dir = said[2].dir = "auto";
      words.append(...said);
      row.append(picture(x.images.source, "source"), picture(x.images.edit, "edit"), words);
      return row;
    }));
  };
  const undecided = (now) => {
    const share = now.undecided_of ? `, ${percent(now.undecided_count / now.undecided_of)}` : "";
    const made = box("Undecided", `${number(now.undecided_count)} of ${number(now.undecided_of)}${share}`);
    for (const [reason, n] of Object.entries(now.undecided)) made.append(element("dd", `${reason.replaceAll("_", " ")} ${number(n)}`, "soft"));
    if (now.too_many) {
      made.className = "many";
      made.append(element("dd", `Above ${percent(now.most_undecided).replace(".0", "")}: where so many edits are undecided, the result is a range.`, "soft"));
    }
    return made;
  };
  const show = (now) => {
    const total = now.total ?? 0;
    $("bar").hidden = !total;
    if (total) { $("bar").max = total; $("bar").value = now.done; }
    $("lede").textContent = (total ? `${number(now.done)} of ${number(total)} requests` : `${number(now.done)} answers`) + (now.left ? `, about ${duration(now.left)} left` : "");
    tell(now.state, now.words);
    announce(now.state, total ? now.done / total : null);
    $("results").replaceChildren(...now.results.map((line) => element("li", line)));
    const places = [];
    if (now.folder) places.push(element("span", `Results: ${now.folder}`));
    if (now.address) {
      const link = element("a", "Open the report");
      link.href = now.address;
      places.push(link);
    } else if (now.report) places.push(element("span", `Report: ${now.report}`));
    $("places").replaceChildren(...places);
    $("ended").hidden = !places.length;
    const figures = [];
    const recently = `in the last ${Math.round(now.lately_s)} s`;
    if (!LAST.includes(now.state) && now.state !== "gone") figures.push(box("Rate", now.rate === null ? "–" : `${now.rate.toFixed(1)} per second`, now.rate === null ? "" : recently));
    if (now.stored) figures.push(box("From the store", number(now.stored)));
    if (now.retries !== null) figures.push(box("Retries", number(now.retries), now.retries_lately ? `${number(now.retries_lately)} ${recently}` : ""));
    figures.push(undecided(now));
    if (now.tokens !== null) figures.push(box("Tokens", number(now.tokens)));
    if (now.own) figures.push(box("Cost", now.usd === null ? "no price in the card" : `${now.usd.toFixed(3)} USD`));
    $("figures").replaceChildren(...figures);
    $("looks").replaceChildren(...now.looks.map((seen) => {
      const value = seen.most - seen.least < 1e-9 ? percent(seen.least) : `${percent(seen.least)} to ${percent(seen.most)}`;
      return box(seen.name ? `ISR, ${seen.name}` : "ISR so far", `${value} (${percent(seen.low)} to ${percent(seen.high)})`, `${number(seen.images)} images`);
    }));
    $("looked").textContent = now.until
      ? `Intervals hold at every look. The run stops by ${now.until}.`
      : "Intervals hold at every look: images are asked in an order by a seed. The result will have the interval for a fixed number of images.";
    for (const id of ["looks", "looked"]) $(id).hidden = !now.looks.length || LAST.includes(now.state);
    $("partial").textContent = sentence(now.partial);
    $("no-pictures").hidden = now.pictures;
    showNewest(now.newest);
  };

  /* the last word was shown, with its pictures: the server need not wait any longer */
  const confirmSeen = async () => {
    await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
    await fetch(`/api/seen?page=${page}`).catch(() => null);
  };
  let away = 0, gone = 0, own = true;
  const look = async () => {
    let wait = EVERY_MS;
    try {
      const reply = await fetch(`/api/status?page=${page}`);
      if (!reply.ok) {
        tell("earlier", "this page belongs to an earlier start; open the new address");
        announce("earlier", null);
        return;
      }
      const now = await reply.json();
      [away, own] = [0, now.own];
      show(now);
      gone = now.state === "gone" ? gone + 1 : 0;
      if (LAST.includes(now.state)) {
        if (own) confirmSeen();
        return;
      }
      if (gone) wait = SLOW_MS;
      if (gone > MOST_GONE) return;
    } catch {
      wait = WAITS_MS[away];
      away += 1;
      const state = own && away > 2 ? "gone" : "away";
      const ended = own ? "the process ended without finishing; run the same command again to go on" : "the server of this page has ended; the run may go on, and isr report RUN --serve shows it again";
      const why = away > 2 ? ended : "the server of this page does not reply";
      tell(state, wait ? `${why}; asked again in ${duration(wait / 1000)}` : `${why}; reload this page to ask again`);
      announce(state, null);
      if (!wait) return;
    }
    setTimeout(look, wait);
  };
  look();
})();
