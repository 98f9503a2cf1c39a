// Molecules in 3-D by 3Dmol.js, which the domain sends. A browser has few WebGL contexts: one hidden viewer renders
// pictures, and at most LIVE viewers can be turned; the oldest closes for a new one.
import { text } from "./api.js";
import { el } from "./dom.js";

export const layout = "";
const LIVE = 4, WIDE = 320, HIGH = 240;
const live = [];
let script = null, studio = null, address = "";

// The script with the function load3Dmol, of the model that is chosen.
export function useScripts(addresses) {
  address = addresses.find(one => one.endsWith("molecules.js")) ?? address;
}

function loaded() {
  script ??= new Promise((done, failed) => {
    if (!document.createElement("canvas").getContext("webgl2")) return failed(new Error("no WebGL"));
    document.head.append(el("script", { src: address, onload: () => { window.load3Dmol.call(window); done(); }, onerror: () => failed(new Error("no viewer")) }));
  });
  return script;
}

const viewer = box => window.$3Dmol.createViewer(box, { backgroundColor: "white", antialias: true, disableFog: true });

function fill(view, record, keep = false) {
  const before = keep && view.filled ? view.getView() : null;
  view.removeAllModels();
  view.addModel(record, "sdf", { keepH: true });
  view.setStyle({}, { stick: { radius: .14 }, sphere: { scale: .24 } });
  if (before) view.setView(before);
  else { view.zoomTo(); view.zoom(1.1); }
  view.filled = true;
  view.render();
}

function hidden() {
  const box = el("div", { style: `position:fixed;left:-9999px;width:${WIDE}px;height:${HIGH}px` });
  document.body.append(box);
  return viewer(box);
}

export async function view(url, sample) {
  const record = await text(url);
  try {
    await loaded();
  } catch {
    return el("p", { class: "quiet" }, "This browser shows no 3-D pictures (WebGL).");
  }
  studio ??= hidden();
  fill(studio, record);
  const still = el("button", { type: "button", class: "space", "aria-label": `Turn the molecule ${sample.smiles ?? ""}` },
    el("img", { src: studio.pngURI(), alt: "" }), el("span", { class: "turn" }, "click to turn"));
  still.onclick = () => open(still, record);
  return el("div", {}, still);
}

function open(still, record) {
  if (live.length === LIVE) close(live[0]);
  const box = el("div"), frame = el("div", { class: "space" }, box);
  still.replaceWith(frame);
  const one = { still, frame, view: viewer(box) };
  fill(one.view, record);
  live.push(one);
}

function close(one) {
  live.splice(live.indexOf(one), 1);
  one.frame.querySelector("canvas")?.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
  one.frame.replaceWith(one.still);
}

export async function show(box, url) {
  const record = await text(url);
  await loaded();
  if (!box.firstChild) {
    const inner = el("div");
    box.append(el("div", { class: "space" }, inner));
    box.view = viewer(inner);
  }
  fill(box.view, record, true);
}

export async function pick(url) {
  const record = await text(url);
  await loaded();
  const inner = el("div"), frame = el("div", { class: "space" }, inner), chosen = new Set();
  const numbers = el("input", { type: "text", placeholder: "such as 0,4-7, or a SMARTS pattern", spellcheck: "false", autocomplete: "off" });
  const add = el("input", { type: "text", placeholder: "none; such as C2H4 or 6", spellcheck: "false", autocomplete: "off" });
  const element = el("div", {},
    el("p", { class: "hint" }, "Click the atoms to generate again, or name them. Drag to turn the molecule."),
    el("div", { class: "media" }, frame),
    el("div", { class: "tools-row" }, el("label", { style: "flex:1" }, "Atoms ", numbers), el("label", { style: "flex:1" }, "Add atoms ", add)));
  function start() { // once it is on the page and has a size
    const view = viewer(inner);
    fill(view, record);
    const paint = () => {
      view.setStyle({}, { stick: { radius: .14 }, sphere: { scale: .24 } });
      if (chosen.size) view.setStyle({ index: [...chosen] }, { stick: { radius: .14 }, sphere: { scale: .34, color: "#e0218a" } });
      view.render();
    };
    view.setClickable({}, true, atom => {
      chosen.has(atom.index) ? chosen.delete(atom.index) : chosen.add(atom.index);
      numbers.value = [...chosen].sort((a, b) => a - b).join(",");
      paint();
    });
    view.render();
    element.choose = index => { chosen.add(index); numbers.value = [...chosen].join(","); paint(); };
  }
  async function parts() {
    if (!numbers.value.trim() && !add.value.trim()) throw new Error("Choose atoms, or say which to add.");
    return { ...(numbers.value.trim() ? { gap: [numbers.value.trim()] } : {}), ...(add.value.trim() ? { add: add.value.trim() } : {}) };
  }
  return { element, parts, start };
}
