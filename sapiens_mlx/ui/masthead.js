// The switch between light and dark. The browser remembers it; until it is pressed, the page follows the system.
const key = "sapiens-mlx-shade";
const button = element.querySelector(".shade");

function show(dark) {
  document.body.classList.toggle("dark", dark);
  button.setAttribute("aria-pressed", String(dark));
}

const kept = localStorage.getItem(key);
show(kept === null ? document.body.classList.contains("dark") : kept === "dark");
button.addEventListener("click", () => {
  const dark = !document.body.classList.contains("dark");
  localStorage.setItem(key, dark ? "dark" : "light");
  show(dark);
});
