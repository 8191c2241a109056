/* sets: edits that a view names and a link opens, <a href="#set=NAME:ARGUMENT"> ---------------------------- */
/* sets.NAME = (argument) => ({ words: what they are, test: (entry) => whether it is one of them }), or null; */
/* with order: (entry, entry) => number, where "as scored" would part edits that belong together */
const sets = {};
const setOf = (text) => {
  const at = text.indexOf(":");
  const found = at > 0 && Object.hasOwn(sets, text.slice(0, at)) ? sets[text.slice(0, at)](text.slice(at + 1)) : null;
  return found || { words: "", test: () => true };
};
checks.push((at) => (at.has("set") && !setOf(at.get("set")).words ? ["set", `no set of edits ${quoted(at.get("set"))} in this report`] : null));
