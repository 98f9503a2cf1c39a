// Molecules in 3-D by 3Dmol.js, which the domain sends. A browser has few WebGL contexts: one hidden viewer renders
// pictures, and at most LIVE viewers can be turned; the oldest closes for a new one.
import { text } from "./api.js";
import { el } from "./dom.js";

export const layout = "";
const LIVE = 4, WIDE = 320, HIGH = 240;
const STYLE = { stick: { radius: .14 }, sphere: { scale: .24 } };
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

// A record without bonds, of atoms that are no molecule, as .xyz, of which the viewer finds bonds by distance.
function readable(record) {
  const lines = record.split("\n"), [atoms, bonds] = [lines[3]?.slice(0, 3), lines[3]?.slice(3, 6)].map(Number);
  if (!atoms || bonds) return [record, "sdf"];
  const places = lines.slice(4, 4 + atoms).map(line => {
    const [x, y, z, symbol] = line.trim().split(/\s+/);
    return [symbol, x, y, z].join(" ");
  });
  return [[atoms, "", ...places].join("\n"), "xyz"];
}

function fill(view, record, keep = false) {
  const before = keep && view.filled ? view.getView() : null, [text, format] = readable(record);
  view.removeAllModels();
  view.addModel(text, format, { keepH: true });
  view.setStyle({}, STYLE);
  if (before) view.setView(before);
  else closer(view);
  view.filled = true;
  view.render();
}

// zoomTo fits a sphere of 5 Å, or a larger one around all atoms; a small molecule may fill the picture too.
function closer(view) {
  view.zoomTo();
  const atoms = view.selectedAtoms({}), middle = key => atoms.reduce((sum, atom) => sum + atom[key], 0) / atoms.length;
  const [x, y, z] = ["x", "y", "z"].map(middle);
  const ball = Math.max(...atoms.map(atom => Math.hypot(atom.x - x, atom.y - y, atom.z - z))) + .6;
  view.zoom(Math.min(2.5, 4.7 * Math.max(1, ball / 5) / ball));
}

// The conditions of a molecule as words: a composition is a formula, in the order of Hill.
export function caption(cond, words) {
  const counts = Object.entries(cond ?? {}).filter(([name, value]) => /^[A-Z][a-z]?$/.test(name) && Number.isInteger(value));
  if (counts.length < 2) return words(cond);
  const rank = name => ["C", "H"].includes(name) ? ` ${"CH".indexOf(name)}` : name;
  const formula = counts.filter(([, n]) => n).sort(([a], [b]) => rank(a) < rank(b) ? -1 : 1).map(([name, n]) => name + (n > 1 ? n : "")).join("");
  const others = Object.fromEntries(Object.entries(cond).filter(([name]) => !counts.some(([one]) => one === name)));
  return [words(others), `composition ${formula}`].filter(Boolean).join(", ");
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
      view.setStyle({}, STYLE);
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
    if (!numbers.value.trim() && !add.value.trim()) throw new Error("Choose atoms, or name those to add.");
    return { ...(numbers.value.trim() ? { gap: [numbers.value.trim()] } : {}), ...(add.value.trim() ? { add: add.value.trim() } : {}) };
  }
  return { element, parts, start };
}
