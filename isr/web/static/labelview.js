"use strict";
/* The two pictures: all of them as large as the window allows, or closer and moved; always both in step.
   A scale is CSS pixels in one pixel of the edit. */
const view = (() => {
  const $ = (id) => document.getElementById(id);
  const DOUBLED = 2, TINY = 256, LARGEST = 16, TAP = 6;
  const NARROW = matchMedia("(max-width: 599.98px), (max-height: 479.98px) and (pointer: coarse)");
  const pictures = document.querySelector(".pictures"), area = document.querySelector(".look");
  const both = ["source", "edit"].map((name) => ({ image: $(name), figure: $(name).closest("figure"), frame: $(name).parentElement, said: $(`${name}-scale`) }));
  const [source, edit] = both;
  let zoom = null, centre = { x: 0.5, y: 0.5 }; // no zoom: all of the picture is shown
  let fitted = null, largest = null, key = "";
  const largests = new Map(); // by item: who comes back to one has looked at it before

  const between = (low, value, high) => Math.min(Math.max(value, low), high);
  const there = (one) => !one.figure.hidden && one.image.complete && one.image.naturalWidth > 0;
  const shown = () => both.filter(there);
  /* the edit says how large; the source stands beside it at the same size of its scene, and so at the same scale where
     both have the same pixels */
  const share = (one) => {
    if (one === edit || !there(edit)) return 1;
    const same = Math.min(edit.image.naturalWidth / one.image.naturalWidth, edit.image.naturalHeight / one.image.naturalHeight);
    return Math.abs(same - 1) < 0.005 ? 1 : same;
  };
  const scaleOf = (one, scale) => Math.min(scale * share(one), Math.max(scale, DOUBLED));
  const fit = (width, height) => {
    const { naturalWidth: w, naturalHeight: h } = (there(edit) ? edit : source).image;
    const all = Math.min(width / w, height / h, DOUBLED);
    if (all <= 1 || Math.max(w, h) > TINY) return all;
    return Math.max(1, Math.floor(all * devicePixelRatio) / devicePixelRatio); // whole pixels of the screen, so that none is smoothed
  };

  /* side by side, or one above the other where that shows more */
  const arrange = () => {
    const single = source.figure.hidden, covers = area.classList.contains("covers");
    const room = (stacked) => {
      pictures.classList.toggle("stacked", stacked && !single);
      return fit(edit.frame.clientWidth, edit.frame.clientHeight);
    };
    const above = room(true), beside = room(false);
    const stacked = covers ? pictures.clientHeight > pictures.clientWidth : above > 1.1 * beside;
    const found = room(stacked);
    if (!covers) fitted = found;
  };
  const now = () => zoom ?? fit(edit.frame.clientWidth, edit.frame.clientHeight);
  const place = (one, scale) => {
    const width = one.image.naturalWidth * scale, height = one.image.naturalHeight * scale;
    const across = one.frame.clientWidth - width, down = one.frame.clientHeight - height;
    const inner = pictures.classList.contains("stacked") || source.figure.hidden ? 0.5 : one === source ? 1 : 0;
    const foot = area.classList.contains("covers") ? 0.5 : 1;
    return {
      width, height,
      left: across >= 0 ? across * inner : between(across, one.frame.clientWidth / 2 - centre.x * width, 0),
      top: down >= 0 ? down * foot : between(down, one.frame.clientHeight / 2 - centre.y * height, 0),
    };
  };
  const whole = (pixels) => Math.round(pixels * devicePixelRatio) / devicePixelRatio;
  const told = (one, scale) => {
    const { naturalWidth: wide } = one.image;
    return scale < 0.995 ? `shown at ${Math.round(wide * scale)} of ${wide} px` : `${wide} px at ${Math.round(100 * scale)} %`;
  };
  const draw = () => {
    for (const one of both) {
      one.image.classList.toggle("there", there(one));
      if (!there(one)) one.said.textContent = "";
    }
    $("zoom").disabled = !shown().length;
    if (!shown().length) return;
    const scale = now();
    if (there(edit)) {
      const half = (frame, size) => Math.min(0.5, frame / 2 / size);
      const x = half(edit.frame.clientWidth, edit.image.naturalWidth * scale), y = half(edit.frame.clientHeight, edit.image.naturalHeight * scale);
      centre = { x: between(x, centre.x, 1 - x), y: between(y, centre.y, 1 - y) };
      largest = Math.max(largest ?? 0, scale, fitted);
      largests.set(key, largest);
    }
    for (const one of shown()) {
      const own = scaleOf(one, scale), at = place(one, own), points = own * devicePixelRatio;
      one.image.style.width = `${at.width}px`;
      one.image.style.height = `${at.height}px`;
      one.image.style.transform = `translate(${whole(at.left)}px, ${whole(at.top)}px)`;
      one.image.classList.toggle("sharp", points >= 3 || (points > 0.99 && Math.abs(points - Math.round(points)) < 0.01));
      one.figure.style.setProperty("--left", `${Math.max(0, whole(at.left))}px`);
      one.said.textContent = told(one, own);
      one.frame.classList.toggle("moves", at.width > one.frame.clientWidth + 1 || at.height > one.frame.clientHeight + 1);
    }
    area.classList.toggle("close", zoom !== null);
    $("zoom-word").textContent = zoom === null ? "1:1" : "Fit";
    $("zoom").title = zoom === null ? "One pixel of the picture is one pixel of the page; drag to move" : "Show all of both pictures";
  };
  const lay = () => {
    if (shown().length) arrange();
    draw();
  };
  /* on a small window a closer look takes all of it, once the fingers are up */
  const settle = () => {
    const covers = zoom !== null && NARROW.matches;
    if (covers === area.classList.contains("covers")) return;
    area.classList.toggle("covers", covers);
    for (const other of $("work").children) if (other !== area) other.inert = covers;
    lay();
  };
  /* keeps what lies under a point of a frame where it is; without a point, what is in the middle */
  const zoomTo = (scale, one = edit, point = null) => {
    if (!shown().length) return;
    const least = fit(edit.frame.clientWidth, edit.frame.clientHeight), wanted = between(Math.min(least, 1), scale, LARGEST);
    const at = place(one, scaleOf(one, now()));
    zoom = Math.abs(wanted / least - 1) < 0.01 ? null : wanted;
    if (point) {
      const own = scaleOf(one, now()), { naturalWidth: w, naturalHeight: h } = one.image;
      const x = between(0, (point.x - at.left) / at.width, 1), y = between(0, (point.y - at.top) / at.height, 1);
      centre = { x: x + (one.frame.clientWidth / 2 - point.x) / (w * own), y: y + (one.frame.clientHeight / 2 - point.y) / (h * own) };
    }
    draw();
  };
  const move = (right, down) => {
    if (zoom === null || !there(edit)) return;
    centre = { x: centre.x - right / (edit.image.naturalWidth * zoom), y: centre.y - down / (edit.image.naturalHeight * zoom) };
    draw();
  };
  const all = () => {
    zoom = null;
    centre = { x: 0.5, y: 0.5 };
    settle();
    lay();
  };
  const closer = (scale, one, point) => {
    zoomTo(scale, one, point);
    settle();
  };

  for (const one of both) {
    const fingers = new Map();
    let dragged = false;
    const of = (event) => {
      const box = one.frame.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    const middle = () => {
      const [a, b = a] = fingers.values();
      return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y) };
    };
    one.frame.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || fingers.size === 2) return;
      one.frame.setPointerCapture(event.pointerId);
      dragged = fingers.size > 0;
      fingers.set(event.pointerId, { ...of(event), from: of(event) });
    });
    one.frame.addEventListener("pointermove", (event) => {
      const finger = fingers.get(event.pointerId);
      if (!finger) return;
      const before = middle(), to = of(event);
      dragged ||= Math.hypot(to.x - finger.from.x, to.y - finger.from.y) > TAP;
      if (!dragged) return;
      Object.assign(finger, to);
      const after = middle();
      move(after.x - before.x, after.y - before.y);
      if (before.apart && after.apart) zoomTo(now() * after.apart / before.apart, one, after);
    });
    const lifted = (event) => {
      if (!fingers.delete(event.pointerId) || fingers.size) return;
      if (event.type === "pointerup" && !dragged) {
        if (zoom === null) closer(Math.max(1, 2 * now()), one, of(event));
        else all();
      }
      settle();
    };
    one.frame.addEventListener("pointerup", lifted);
    one.frame.addEventListener("pointercancel", lifted);
    one.frame.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      closer(now() * Math.exp(-between(-100, event.deltaY, 100) / 250), one, of(event));
    }, { passive: false });
    one.image.addEventListener("load", lay);
  }
  $("zoom").addEventListener("click", () => { toggle(); $("zoom").blur(); });
  const toggle = () => {
    if (zoom !== null) all();
    else closer(1);
  };
  new ResizeObserver(lay).observe(pictures);
  NARROW.addEventListener("change", settle);

  return {
    /* another item is shown: all of both pictures first */
    fresh: (item) => {
      key = item;
      largest = largests.get(key) ?? null;
      all();
    },
    all, toggle,
    zoomed: () => zoom !== null,
    covers: () => area.classList.contains("covers"),
    by: (factor) => closer(now() * factor),
    step: (right, down) => move(-right * edit.frame.clientWidth / 8, -down * edit.frame.clientHeight / 8),
    /* how the item was looked at, for its label */
    look: () => {
      const four = (number) => (number === null ? null : Math.round(number * 1e4) / 1e4);
      return { window_px: innerWidth, pixel_ratio: four(devicePixelRatio), fit_scale: four(fitted), largest_scale: four(largest) };
    },
  };
})();
