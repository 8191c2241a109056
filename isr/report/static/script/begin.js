/* begin: the address rules; controls, links and an opened edit only change it ------------------------------------------- */
const show = (id) => {
  const target = $(id);
  if (!target) return;
  if (!target.hasAttribute("tabindex")) target.tabIndex = -1;
  target.scrollIntoView();
  target.focus({ preventScroll: true });
};
const before = { view: "", set: "" };
let opening = false; // what is opened because the address says so changes no address
const follow = () => {
  const at = address();
  controls();
  filter();
  sources();
  const key = at.get("edit") || "", entry = byKey.get(key);
  opening = true;
  if (!entry && viewer.open) viewer.close();
  else if (entry && !(viewer.open && entry === inViewer)) { if (shown.includes(entry)) open(shown.indexOf(entry)); else openEntry(entry); }
  opening = false;
  const view = at.get("view") || "", set = at.get("set") || "";
  if (set !== before.set && setOf(set).words && !entry) show(/^(desk|mine):/.test(set) ? "desk-one" : "gallery");
  if (view !== before.view && view && !entry) show(view);
  Object.assign(before, { view, set });
  tellAstray();
};
let inViewer = null;
opened = (entry) => {
  inViewer = entry;
  $("same-source").dataset.image = entry.at.image_id;
  if (!opening) go({ edit: entry.key }, address().has("edit") ? { replace: true } : { opened: true });
};
closed = () => { if (viewer.open) return; inViewer = null; leave(); };
checks.push((at) => (at.has("edit") && !byKey.has(at.get("edit")) ? ["edit", `no edit ${quoted(at.get("edit"))} in this report`] : null));
checks.push((at) => (at.has("view") && !document.querySelector("main").contains($(at.get("view"))) ? ["view", `no part ${quoted(at.get("view"))} on this page`] : null));

let scrolled = false;
addEventListener("scroll", () => {
  if (scrolled) return;
  scrolled = true;
  requestAnimationFrame(() => { scrolled = false; draw(); });
}, { passive: true });
reach(".wide");
addEventListener("resize", () => { layout(); reach(".wide"); });
/* a link to a part of the page keeps the filters in the address */
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (link && link.hash === location.hash && link.hash.startsWith("#set=")) show("gallery"); // the same set again
  if (!link || link.hash.includes("=") || event.ctrlKey || event.metaKey || event.shiftKey || !all.length) return;
  const id = decodeURIComponent(link.hash.slice(1));
  if (!document.querySelector("main").contains($(id))) return;
  event.preventDefault();
  before.view = id;
  go({ view: id });
  show(id);
});
const begin = async () => {
  const data = await unpack();
  if (document.visibilityState === "visible") await new Promise((done) => { requestAnimationFrame(() => setTimeout(done, 0)); }); // first what needs no script is painted
  ({ texts, judges, judged, runs, made, further, columns: fields } = data);
  all = data.entries.map(read);
  beginPairs(data.pairs);
  beginDesk(data.desk);
  chooseDiffering();
  beginFilters();
  beginSlice();
  beginSources();
  addEventListener("moved", follow);
  follow();
  root.dataset.ready = "true";
};
begin().catch((error) => { $("count").textContent = `The gallery cannot be shown: ${error.message}`; });
