// A figure opens in full size.
for (const image of document.querySelectorAll("article img")) {
  const link = Object.assign(document.createElement("a"), { href: image.src, title: "full size" });
  image.replaceWith(link);
  link.append(image);
}
