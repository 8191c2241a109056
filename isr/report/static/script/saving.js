/* downloads and copies ---------------------------------------------------- */
const downloads = JSON.parse($("downloads").textContent);
const say = (text) => { $("said").textContent = text; };
const save = (blob, name) => {
  const url = URL.createObjectURL(blob);
  const link = make("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  say(`${name} was saved`);
};
const picture = (svg, name) => {
  const url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  const image = new Image();
  image.onload = () => {
    const canvas = make("canvas");
    canvas.width = 2 * image.width;
    canvas.height = 2 * image.height;
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => save(blob, name), "image/png");
    URL.revokeObjectURL(url);
  };
  image.src = url;
};
document.addEventListener("click", (event) => {
  const saving = event.target.closest("[data-save]");
  if (saving) {
    const name = saving.dataset.figure;
    const kind = saving.dataset.save;
    const figure = downloads[name];
    if (kind === "csv") save(new Blob([figure.csv], { type: "text/csv" }), `${name}.csv`);
    else if (kind === "svg") save(new Blob([figure.svg], { type: "image/svg+xml" }), `${name}.svg`);
    else picture(figure.svg, `${name}.png`);
  }
  const copying = event.target.closest("[data-copy]");
  if (copying) {
    const source = $(copying.dataset.copy);
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
    copying.textContent = "Copied";
    setTimeout(() => { copying.textContent = "Copy"; }, 1500);
  }
});

/* what is folded up on the screen is printed in full */
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((box) => { box.open = true; });
});
addEventListener("afterprint", () => folded.forEach((box) => { box.open = false; }));
