/* pictures: what the page holds of each file ------------------------------------------ */
/* the size of a file, and the longer side of the smaller picture that stands for it (0: the file itself is here) */
const sizeOf = (n) => {
  const [W = 0, H = 0, reduced = 0] = pictures[n] || [];
  return { w: W, h: H, W, H, reduced };
};
/* pixels as they are in the file: where they lie, which part of the file (x, y, w, h) of W x H; 0 where only the loaded picture tells */
const ownOf = (n) => {
  if (!images[n]) return null;
  const [W, H, reduced = 0, part = 0, x, y, w, h] = pictures[n];
  if (!reduced) return { url: images[n], x: 0, y: 0, w: W, h: H, W, H };
  return part ? { url: images[part], x, y, w, h, W, H } : null;
};
/* a picture that does not load is said to be missing, wherever it stands */
document.addEventListener("error", (event) => {
  const image = event.target;
  if (image instanceof HTMLImageElement) image.replaceWith(make("span", { class: "empty", text: image.src.startsWith("data:") ? "picture cannot be shown" : "picture is not here" }));
}, true);
