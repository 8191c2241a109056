"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
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
  const picture = (digest, alt) => {
    const image = document.createElement("img");
    image.alt = alt;
    if (digest) image.src = `/image/${encodeURIComponent(digest)}`;
    return image;
  };
  let last = "";
  const show = (now) => {
    const total = now.total ?? 0;
    if (total) { $("bar").max = total; $("bar").value = now.done; }
    const ended = total && now.done >= total;
    $("lede").textContent = (total ? `${now.done.toLocaleString()} of ${total.toLocaleString()} requests` : `${now.done.toLocaleString()} answers`) +
      (now.stopped ? `. Stopped: ${now.stopped}` : ended ? ". Every request has its answer." : now.left ? `, about ${duration(now.left)} left` : "");
    const figures = [["Rate", now.rate === null ? "–" : `${now.rate.toFixed(1)} per second`], ["From the store", now.stored || "–"], ["Retries", now.retries ?? "–"],
      ["Tokens", now.tokens === null ? "–" : now.tokens.toLocaleString()], ["Cost", now.usd === null ? "–" : `${now.usd.toFixed(3)} USD`]];
    const undecided = Object.entries(now.undecided);
    figures.push(["Undecided", undecided.length ? "" : "0"]);
    undecided.forEach(([reason, n]) => figures.push([`– ${reason.replaceAll("_", " ")}`, n]));
    $("figures").replaceChildren(...figures.filter(([, v]) => v !== "").map(([name, value]) => {
      const box = document.createElement("div");
      box.append(element("dt", name), element("dd", String(value)));
      return box;
    }));
    const percent = (x) => `${(100 * x).toFixed(1)}%`;
    $("looks").replaceChildren(...now.looks.map((seen) => {
      const box = document.createElement("div");
      const value = seen.most - seen.least < 1e-9 ? percent(seen.least) : `${percent(seen.least)} to ${percent(seen.most)}`;
      box.append(element("dt", seen.name ? `ISR, ${seen.name}` : "ISR so far"), element("dd", `${value} (${percent(seen.low)} to ${percent(seen.high)})`),
        element("dd", `${seen.images.toLocaleString()} images`, "soft"));
      return box;
    }));
    $("looked").textContent = now.until
      ? `Intervals hold at every look. The run stops by ${now.until}.`
      : "Intervals hold at every look: images are asked in an order by a seed. The result will have the interval for a fixed number of images.";
    for (const name of ["looks", "looked"]) $(name).hidden = !now.looks.length;
    $("partial").textContent = now.partial;
    const key = JSON.stringify(now.newest.map((x) => [x.at, x.question, x.prompt.slice(0, 40)]));
    if (key === last) return;
    last = key;
    $("newest").replaceChildren(...now.newest.map((x) => {
      const row = element("div", "", "answer");
      const words = document.createElement("div");
      const prompt = element("p", x.prompt);
      prompt.dir = "auto";
      const score = x.score === null ? "" : `, score ${x.score}`;
      words.append(prompt, element("p", `${x.judge}: ${x.question} ${x.verdict}${x.reason ? ` (${x.reason.replaceAll("_", " ")})` : score}`, "soft"), element("p", x.reasoning, "soft"));
      row.append(picture(x.images.source, "source"), picture(x.images.edit, "edit"), words);
      return row;
    }));
  };
  const look = async () => {
    try {
      const reply = await fetch("/api/status");
      if (reply.ok) show(await reply.json());
      else $("lede").textContent = "This page belongs to an earlier start; open the new address.";
    } catch {
      $("lede").textContent = "The run has ended, or its process is gone. Its results are in its folder.";
    }
    setTimeout(look, 1000);
  };
  look();
})();
