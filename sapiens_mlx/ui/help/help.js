// The list of keypoints: while something is searched for, groups open and what does not fit is hidden.
const field = element.querySelector("input");
const found = element.querySelector(".found");
const plain = (text) => text.toLowerCase().replaceAll("_", " ").replace(/\s+/g, " ").trim();

field.addEventListener("input", () => {
  const words = plain(field.value).split(" ").filter(Boolean);
  let count = 0;
  for (const group of element.querySelectorAll("details")) {
    let here = 0;
    for (const item of group.querySelectorAll("li")) {
      const text = plain(item.textContent);
      const number = item.querySelector("span").textContent;
      const fits = words.every((word) => (/^\d+$/.test(word) ? number === word : text.includes(word)));
      item.hidden = !fits;
      here += fits;
    }
    group.hidden = here === 0;
    group.open = words.length > 0 && here > 0;
    count += here;
  }
  found.textContent = words.length === 0 ? "" : count === 1 ? "1 keypoint" : `${count} keypoints`;
});
