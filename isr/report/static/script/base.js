/* Texts of the data enter the page as text only. */
const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const OUTCOMES = ["immunized", "not immunized", "undecided"];
const VERDICTS = ["fails", "fine", "undecided"];
const ROLES = ["source", "protected", "control", "edit"];

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name === "text") element.textContent = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};

/* what scrolls can be reached with the keyboard */
const reach = (selector) => document.querySelectorAll(selector).forEach((box) => {
  if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
});

/* theme ----------------------------------------------------------------- */
const dark = matchMedia("(prefers-color-scheme: dark)");
const shade = (isDark) => {
  root.dataset.theme = isDark ? "dark" : "light";
  $("theme").setAttribute("aria-pressed", String(isDark));
};
shade(dark.matches);
dark.addEventListener("change", (event) => shade(event.matches));
$("theme").addEventListener("click", () => shade(root.dataset.theme !== "dark"));
