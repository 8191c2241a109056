/* pictures of the specimen sheet stand in the page itself, for paper without a script, and not a second time in the data */
document.querySelectorAll("#specimens img[data-picture]").forEach((image) => { images[Number(image.dataset.picture)] = image.getAttribute("src"); });
