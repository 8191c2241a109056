/* cells of the transfer matrix: #set=cell:RUN/EDITOR/PURIFIER[/METHOD/CONFIG/EPS/SURROGATE], each part quoted ---------- */
sets.cell = (argument) => {
  let parts;
  try { parts = argument.split("/").map(decodeURIComponent); } catch { return null; }
  const [run, editor, purifier, ...treatment] = parts;
  if (!/^\d{1,4}$/.test(run) || Number(run) >= runs.length || ![3, 7].includes(parts.length)) return null;
  const names = ["method", "config", "eps", "surrogate"];
  const control = treatment.length === 0;
  const where = `editor ${editor || "(empty)"}, purifier ${purifier || "none"}`;
  const what = control ? "units whose control edits are of" : `${treatment[0] || "(no method named)"}${treatment[2] ? `, eps ${treatment[2]}` : ""}:`;
  return {
    words: `${what} ${where}`,
    test: (entry) => entry.o[run] !== null && entry.at.editor === editor && entry.at.purifier === purifier &&
      (control ? entry.control[run] !== null : names.every((name, i) => entry.at[name] === treatment[i])),
  };
};
