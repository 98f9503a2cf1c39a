// The form of a request: fields made of a model's card.
import { el, field, short, slider } from "./dom.js";

const MANY = 60; // classes above which a text field with suggestions replaces the list

function conditionInput(one) {
  if (one.kind === "number") {
    const step = one.whole ? 1 : Number(((one.most - one.least) / 100 || 1).toPrecision(1));
    const input = slider({ label: one.name, least: one.least, most: one.most, step, empty: true });
    const [least, most] = [one.least, one.most].map(value => one.whole ? value : Number(value.toPrecision(2)));
    input.placeholder = `${least} – ${most}`;
    input.title = `${short(one.least)} to ${short(one.most)} in the data; empty: as in the data`;
    return [input, ""];
  }
  if (one.kind === "class" && one.values.length <= MANY) {
    const options = one.values.map(value => el("option", { value }, value));
    return [el("select", {}, el("option", { value: "" }, "as in the data"), el("option", { value: "any" }, "none"), ...options), ""];
  }
  const list = el("datalist", { id: `values-${one.name}` }, ...one.values.map(value => el("option", { value })));
  const input = el("input", { type: "text", list: list.id, placeholder: "as in the data", autocomplete: "off" });
  input.holder = el("span", {}, input, list);
  return [input, one.kind === "text" && one.values.length ? `such as: ${one.values.reduce((a, b) => b.length < a.length ? b : a)}` : ""];
}

export class Form {
  constructor(card, limits, conditions, sampling) {
    this.card = card;
    this.conditions = new Map();
    conditions.querySelectorAll(".field").forEach(old => old.remove());
    for (const one of card.conditions) {
      const [input, hint] = conditionInput(one);
      this.conditions.set(one.name, input);
      conditions.append(field(one.name, input, hint, one.kind === "text"));
    }
    conditions.hidden = !card.conditions.length;
    sampling.querySelectorAll(".field").forEach(old => old.remove());
    const whole = (value, least, most) => el("input", { type: "number", min: least, max: most, step: 1, value, required: true });
    this.n = whole(Math.min(8, limits.samples), 1, limits.samples);
    const most = Math.min(limits.steps, Math.max(100, 2 * card.defaults.steps));
    this.steps = slider({ label: "Steps", least: 1, most, step: 1, value: Math.min(card.defaults.steps, limits.steps) });
    this.seed = whole(0, 0, Number.MAX_SAFE_INTEGER);
    const other = el("button", { type: "button", class: "small", onclick: () => { this.seed.value = Math.floor(Math.random() * 1e6); } }, "New");
    this.seed.holder = el("span", { class: "pair" }, this.seed, other);
    sampling.append(field("Samples", this.n, `1 to ${limits.samples}`), field("Seed", this.seed));
    this.piped = card.stages.length > 0;
    if (!this.piped) sampling.append(field("Steps", this.steps));
    if (card.samplers.length > 1) {
      const options = card.samplers.map(name => el("option", { value: name, selected: name === card.defaults.sampler }, name));
      this.sampler = el("select", {}, ...options);
      sampling.append(field("Sampler", this.sampler));
    }
    if (card.guided) {
      this.guidance = slider({ label: "Guidance", least: 0, most: 8, step: .1, value: this.piped ? undefined : card.defaults.guidance, empty: this.piped });
      if (this.piped) this.guidance.placeholder = "as set";
      sampling.append(field("Guidance", this.guidance, this.piped ? "" : "1: none; more follows the conditions more closely"));
    }
  }

  cond() {
    const found = {};
    for (const [name, input] of this.conditions) if (input.value.trim() !== "") found[name] = input.value.trim();
    return found;
  }

  how() {
    const found = {};
    if (!this.piped) found.steps = Number(this.steps.value);
    if (this.sampler) found.sampler = this.sampler.value;
    if (this.guidance && this.guidance.value !== "") found.guidance = Number(this.guidance.value);
    return found;
  }

  common() {
    return { model: this.card.name, seed: Number(this.seed.value), cond: this.cond() };
  }
}
