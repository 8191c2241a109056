/* data -------------------------------------------------------------------- */
const { urls: images, shown: pictures } = JSON.parse($("images").textContent);
const unpack = async () => {
  const bytes = Uint8Array.from(atob($("data").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
};

let fields = [], further = [], texts = [], judges = [], judged = [], runs = [], made = [], all = [], shown = [];
const byKey = new Map(); // an edit by what stands for it in an address
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
  const [id, p, m, e, s, n, img, c, o, v, k, x, h, l] = raw;
  const entry = { index, id, key: h ? `${id}@${h}` : id, prompt: texts[p], method: texts[m], editor: texts[e], split: texts[s], img, control: c, o, v }; // o, control: the outcome in each run, or null
  entry.at = Object.fromEntries(fields.map((name, i) => [name, texts[n[i]]])); // unit and treatment, by column
  entry.codes = k; // of each run: what is known of the edit's outcome, then of its control's (gallery.py: possible)
  entry.further = x.map((cell) => texts[cell]);
  entry.labels = (l || []).map((cells) => cells.map((cell) => texts[cell]));
  const verdicts = verdictsOf(entry);
  entry.text = [id, entry.prompt, entry.method, entry.split, ...Object.values(entry.at), ...entry.further, ...verdicts.map((y) => y.reasoning)].join("\n").toLowerCase();
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
  byKey.set(entry.key, entry);
  return entry;
};
