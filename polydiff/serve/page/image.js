// Pictures, and masks drawn on them.
import { el } from "./dom.js";

export const layout = "";

export async function view(url, sample) {
  const img = el("img", { src: url, alt: sample.caption || "sample" });
  await img.decode().catch(() => null);
  img.classList.toggle("smooth", img.naturalWidth > 128);
  return img;
}

export async function show(box, url) {
  const img = box.querySelector("img") ?? box.appendChild(el("img", { alt: "state" }));
  img.src = url;
  await img.decode().catch(() => null);
}

export async function pick(url, sample) {
  const picture = await view(url, sample), { naturalWidth: wide, naturalHeight: high } = picture;
  const mask = el("canvas", { class: "mask", width: wide, height: high, tabindex: 0, role: "img", "aria-label":
    "Mask. Draw on the picture what is to be generated. Arrow keys move the brush, space paints." });
  const pen = mask.getContext("2d", { willReadFrequently: true }), paint = getComputedStyle(document.documentElement).getPropertyValue("--alarm");
  const brush = el("input", { type: "range", min: 1, max: Math.max(2, Math.round(wide / 3)), value: Math.max(1, Math.round(wide / 6)), "aria-label": "Size of the brush" });
  let erasing = false, at = null;
  const dab = (x, y) => {
    const radius = brush.value / 2;
    pen.fillStyle = paint;
    pen.globalCompositeOperation = erasing ? "destination-out" : "source-over";
    for (let i = Math.floor(x - radius); i <= x + radius; i++) // whole pixels: a mask has no halves
      for (let j = Math.floor(y - radius); j <= y + radius; j++)
        if (Math.hypot(i + .5 - x, j + .5 - y) <= Math.max(radius, .5)) pen.fillRect(i, j, 1, 1);
  };
  const place = event => {
    const box = mask.getBoundingClientRect();
    return [(event.clientX - box.left) * wide / box.width, (event.clientY - box.top) * high / box.height];
  };
  const line = ([x, y]) => {
    const [a, b] = at ?? [x, y], steps = Math.ceil(2 * Math.hypot(x - a, y - b)) || 1;
    for (let i = 0; i <= steps; i++) dab(a + (x - a) * i / steps, b + (y - b) * i / steps);
    at = [x, y];
  };
  mask.onpointerdown = event => { mask.setPointerCapture(event.pointerId); at = null; line(place(event)); };
  mask.onpointermove = event => { if (event.buttons) line(place(event)); };
  let cursor = [wide / 2, high / 2];
  mask.onkeydown = event => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (move) cursor = cursor.map((value, i) => Math.min(Math.max(value + move[i], 0), [wide, high][i] - 1));
    else if (event.key === " ") dab(...cursor.map(value => value + .5));
    else return;
    event.preventDefault();
  };
  const erase = el("button", { type: "button", class: "small", "aria-pressed": "false" }, "Erase");
  erase.onclick = () => { erasing = !erasing; erase.setAttribute("aria-pressed", erasing); };
  const all = () => pen.getImageData(0, 0, wide, high).data;
  const invert = el("button", { type: "button", class: "small" }, "Invert");
  invert.onclick = () => {
    const before = all();
    pen.globalCompositeOperation = "source-over";
    pen.clearRect(0, 0, wide, high);
    pen.fillStyle = paint;
    for (let i = 0; i < wide * high; i++) if (before[4 * i + 3] < 128) pen.fillRect(i % wide, Math.floor(i / wide), 1, 1);
  };
  const clear = el("button", { type: "button", class: "small", onclick: () => pen.clearRect(0, 0, wide, high) }, "Clear");
  const element = el("div", {},
    el("p", { class: "hint" }, "Draw over what is to be generated again."),
    el("div", { class: "paint media" }, picture, mask),
    el("div", { class: "tools-row" }, el("label", {}, "Brush ", brush), erase, invert, clear));
  async function parts() {
    const drawn = all(), out = el("canvas", { width: wide, height: high }), made = out.getContext("2d");
    const pixels = made.createImageData(wide, high);
    let any = false;
    for (let i = 0; i < wide * high; i++) {
      const white = drawn[4 * i + 3] >= 128;
      any ||= white;
      pixels.data.set(white ? [255, 255, 255, 255] : [0, 0, 0, 255], 4 * i);
    }
    if (!any) throw new Error("Draw on the picture first.");
    made.putImageData(pixels, 0, 0);
    return { mask: await new Promise(done => out.toBlob(done, "image/png")) };
  }
  return { element, parts };
}
