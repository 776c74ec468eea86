// The gallery of a comparison: all of its pictures are seen through one window, which zooms and moves for all at once.
// `element` is the component's; its content is made anew with every result, so nothing is kept in that.

const MOST = 32;
const view = { zoom: 1, x: 0, y: 0 }; // x, y: where the picture's left and top edges are, in widths and heights of a tile
const pointers = new Map(); // those that are down, with where they were last
let spread = 0; // how far two fingers were apart

function show() {
  const limit = (value) => Math.min(0, Math.max(1 - view.zoom, value));
  view.x = limit(view.x);
  view.y = limit(view.y);
  element.style.setProperty("--zoom", view.zoom);
  element.style.setProperty("--x", view.x);
  element.style.setProperty("--y", view.y);
  element.classList.toggle("zoomed", view.zoom > 1);
  element.classList.toggle("pixels", view.zoom >= 6);
  const output = element.querySelector("output");
  if (output) output.textContent = "×" + Number(view.zoom.toFixed(1));
  const toggle = element.querySelector("[data-differences]");
  if (toggle) toggle.checked = element.classList.contains("differences");
}

// Zooms so that the point u, v (0..1 of the tile) stays where it is.
function zoom(factor, u = 0.5, v = 0.5) {
  const wanted = factor === 0 ? 1 : Math.min(MOST, Math.max(1, view.zoom * factor));
  view.x = u - ((u - view.x) * wanted) / view.zoom;
  view.y = v - ((v - view.y) * wanted) / view.zoom;
  view.zoom = wanted;
  show();
}

function place(event, tile) {
  const box = tile.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

const tileOf = (event) => event.target.closest(".window");

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-zoom]");
  if (button) zoom(Number(button.dataset.zoom));
});
element.addEventListener("change", (event) => {
  if (event.target.matches("[data-differences]")) element.classList.toggle("differences", event.target.checked);
});
element.addEventListener("dblclick", (event) => {
  const tile = tileOf(event);
  if (tile) zoom(event.shiftKey ? 0.5 : 2, ...place(event, tile));
});
element.addEventListener(
  "wheel",
  (event) => {
    const tile = tileOf(event);
    if (!tile || !(event.ctrlKey || event.metaKey)) return; // a wheel alone scrolls the page
    event.preventDefault();
    zoom(Math.exp(-Math.sign(event.deltaY) * 0.25), ...place(event, tile));
  },
  { passive: false },
);
element.addEventListener("pointerdown", (event) => {
  const tile = tileOf(event);
  if (!tile) return;
  tile.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, place(event, tile));
  spread = 0;
});
element.addEventListener("pointermove", (event) => {
  const tile = tileOf(event);
  if (!tile || !pointers.has(event.pointerId)) return;
  const [u, v] = place(event, tile);
  const [before_u, before_v] = pointers.get(event.pointerId);
  pointers.set(event.pointerId, [u, v]);
  view.x += (u - before_u) / pointers.size;
  view.y += (v - before_v) / pointers.size;
  if (pointers.size === 2) {
    const [[a, b], [c, d]] = [...pointers.values()];
    const now = Math.hypot(a - c, b - d);
    if (spread > 0) zoom(now / spread, (a + c) / 2, (b + d) / 2);
    spread = now;
  }
  show();
});
for (const end of ["pointerup", "pointercancel"]) {
  element.addEventListener(end, (event) => {
    pointers.delete(event.pointerId);
    spread = 0;
  });
}
element.addEventListener("keydown", (event) => {
  if (!tileOf(event)) return;
  const moves = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
  const zooms = { "+": 2, "=": 2, "-": 0.5, 0: 0 };
  if (event.key in zooms) zoom(zooms[event.key]);
  else if (event.key in moves && view.zoom > 1) {
    view.x += moves[event.key][0];
    view.y += moves[event.key][1];
    show();
  } else return;
  event.preventDefault();
});
watch("value", show);
show();
