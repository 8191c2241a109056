/* pictures of the specimen sheet stand in the page itself, for paper without a script, and not a second time in the data */
document.querySelectorAll("#specimens img[data-picture]").forEach((image) => { images[Number(image.dataset.picture)] = image.getAttribute("src"); });
/* files of a sheet that only paper shows are fetched once the page has been painted: none holds it back, and none is missing in print */
addEventListener("load", () => setTimeout(() => document.querySelectorAll("#specimens img[loading]").forEach((image) => { image.loading = "eager"; }), 0));
