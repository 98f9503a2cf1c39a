// Dialogs: variations, new parts, inverse problems, restorations, and the film of a sample.
import { capital, el, field, slider } from "./dom.js";
import { mediumOf } from "./media.js";

const dialog = document.getElementById("dialog");

function open(title, ...content) {
  const close = el("button", { type: "button", class: "small", "aria-label": "Close", onclick: () => dialog.close() }, "Close");
  dialog.replaceChildren(el("header", {}, el("h2", { id: "dialog-title" }, title), close), ...content.filter(one => one !== null));
  if (!dialog.open) dialog.showModal();
}
dialog.addEventListener("close", () => { if (!dialog.open) dialog.replaceChildren(); }); // it comes late

function foot(label, start) {
  const status = el("p", { class: "status", role: "status" });
  const go = el("button", { type: "button", class: "main" }, label);
  go.onclick = async () => {
    try {
      await start();
    } catch (error) {
      status.textContent = error.message;
      status.classList.add("alarm");
    }
  };
  return el("div", { class: "foot" }, status, go);
}

const count = (value, most) => el("input", { type: "number", min: 1, max: most, step: 1, value });

export async function vary(sample, limits, start) {
  const strength = slider({ label: "Strength", least: .05, most: 1, step: .05, value: .5 });
  const n = count(Math.min(6, limits.samples), limits.samples);
  const picture = await mediumOf(sample.file).view(sample.url, sample);
  open("Variations", el("div", { class: "stage media" }, picture),
    field("Strength", strength, "Near 0 the sample stays, at 1 nothing of it is left"), field("Samples", n),
    foot("Vary", () => {
      const request = { kind: "vary", source: sample.source, strength: Number(strength.value), n: Number(n.value) };
      dialog.close();
      start(request);
    }));
}

export async function inpaint(sample, limits, start, upload) {
  const picked = await mediumOf(sample.file).pick(sample.url, sample);
  const n = count(Math.min(4, limits.samples), limits.samples), resample = count(1, 20);
  open("Generate a part again", el("div", { class: "stage" }, picked.element),
    field("Samples", n), field("Resample", resample, "Runs of each step; more blends the new with the old, and takes longer"),
    foot("Generate", async () => {
      const { mask, ...parts } = await picked.parts();
      const request = { kind: "inpaint", source: sample.source, ...parts, n: Number(n.value), resample: Number(resample.value) };
      if (mask) request.mask = await upload(mask, "png");
      dialog.close();
      start(request);
    }));
  picked.start?.();
}

const check = () => el("input", { type: "checkbox" });
const tick = (input, label) => el("label", { class: "tick" }, input, " ", label);

// What is known of the example, of which the model makes whole ones: a kind of measurement and its value.
export async function solve(sample, card, limits, start) {
  const examples = new Map(card.measurements.map(text => text.split("=")).map(([name, value]) => [name, value]));
  const kind = el("select", {}, ...[...examples.keys()].map(name => el("option", { value: name }, name)));
  const value = el("input", { type: "text", spellcheck: "false", autocomplete: "off" });
  const method = el("select", {}, ...card.solvers.map(name => el("option", { value: name, selected: name === "moments" }, name)));
  const noise = el("input", { type: "number", min: 0, max: 10, step: "any", value: 0 });
  const n = count(Math.min(4, limits.samples), limits.samples), measured = check();
  const picture = await mediumOf(sample.file).view(sample.url, sample);
  const row = field("Value", value);
  kind.onchange = () => { value.value = examples.get(kind.value) ?? ""; row.hidden = examples.get(kind.value) === undefined; };
  kind.onchange();
  open("Solve: examples that agree with what is known", el("div", { class: "stage media" }, picture),
    field("Known", kind, "Kind of measurement: only this of the example is given to the model"), row,
    field("Noise", noise, "Standard deviation of noise on the measurement; 1 is white or full scale"),
    field("Method", method), field("Samples", n),
    card.measured && sample.source.file ? tick(measured, "The file is the measurement itself") : null,
    foot("Solve", () => {
      const given = value.value.trim() ? `${kind.value}=${value.value.trim()}` : kind.value;
      const request = { kind: "solve", source: sample.source, given, measured: measured.checked, noise: Number(noise.value), how: method.value, n: Number(n.value) };
      dialog.close();
      start(request);
    }));
}

export async function restore(sample, card, limits, start) {
  const degrade = check(), n = count(1, limits.samples);
  const picture = await mediumOf(sample.file).view(sample.url, sample);
  open(capital(card.task), el("div", { class: "stage media" }, picture), field("Samples", n),
    tick(degrade, "It is a whole example: degrade it first"),
    foot(capital(card.task), () => {
      dialog.close();
      start({ kind: "restore", source: sample.source, degrade: degrade.checked, n: Number(n.value) });
    }));
}

export function film(sample, results) {
  const { frames } = results, medium = mediumOf(frames[0].state), real = frames[0].level > 1.001;
  const state = el("div", { class: "media" }), estimate = el("div", { class: "media" });
  const range = el("input", { type: "range", min: 0, max: frames.length - 1, value: 0, "aria-label": "Moment" });
  const output = el("output", {});
  const play = el("button", { type: "button", class: "small" }, "Play");
  let timer = 0, drawn = Promise.resolve();
  const show = () => {
    const frame = frames[range.value];
    output.value = frame.level ? `${real ? "noise" : "level"} ${frame.level.toPrecision(3)}` : "the sample";
    range.setAttribute("aria-valuetext", output.value);
    drawn = drawn.then(() => Promise.all([medium.show(state, frame.state), medium.show(estimate, frame.estimate)]))
      .catch(error => { output.value = error.message; });
    return drawn;
  };
  const stop = () => { clearTimeout(timer); timer = 0; play.textContent = "Play"; };
  const next = async () => {
    if (Number(range.value) === frames.length - 1) return stop();
    range.value = Number(range.value) + 1;
    await show();
    if (timer) timer = setTimeout(next, 250);
  };
  play.onclick = () => {
    if (timer) return stop();
    if (Number(range.value) === frames.length - 1) { range.value = 0; show(); }
    play.textContent = "Pause";
    timer = setTimeout(next, 250);
  };
  range.oninput = () => { stop(); show(); };
  dialog.addEventListener("close", stop, { once: true });
  open("From noise to the sample",
    el("div", { class: "film" }, play, range, output),
    el("div", { class: "ends" },
      el("div", {}, el("p", { class: "hint" }, "The state"), state),
      el("div", {}, el("p", { class: "hint" }, "What the network expects the sample to be"), estimate)));
  show();
}
