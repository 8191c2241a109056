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
addEventListener("moved", filter);
addEventListener("resize", () => { layout(); reach(".wide"); });
const begin = async () => {
  const data = await unpack();
  ({ texts, judges, runs, columns: fields } = data);
  all = data.entries.map(read);
  beginPairs(data.pairs);
  beginDesk(data.desk);
  choices("f-method", "method");
  choices("f-editor", "editor");
  choices("f-split", "split");
  filter();
  root.dataset.ready = "true";
};
begin().catch((error) => { $("count").textContent = `The gallery cannot be shown: ${error.message}`; });
