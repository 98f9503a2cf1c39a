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

// The fields of how something draws, a model or a stage of a pipeline: {steps, sampler, guidance}, each if it has a choice.
function samplingInputs(one, limits) {
  const { defaults } = one, found = {}, most = Math.min(limits.steps, Math.max(100, 2 * defaults.steps));
  found.steps = slider({ label: "Steps", least: 1, most, step: 1, value: Math.min(defaults.steps, limits.steps) });
  if (one.samplers.length > 1)
    found.sampler = el("select", {}, ...one.samplers.map(name => el("option", { value: name, selected: name === defaults.sampler }, name)));
  if (one.guided) found.guidance = slider({ label: "Guidance", least: 0, most: 8, step: .1, value: defaults.guidance });
  return found;
}

const LABELS = { steps: ["Steps"], sampler: ["Sampler"], guidance: ["Guidance", "1: none; more follows the conditions more closely"],
  level: ["Noise level", "noise on what the earlier stage drew; 0: none"], of: ["Draws", "the best of so many is kept"] };
const fields = inputs => Object.entries(inputs).map(([key, input]) => field(LABELS[key][0], input, LABELS[key][1]));
const given = (inputs, wanted = () => true) => Object.fromEntries(Object.entries(inputs)
  .filter(([key, input]) => input.value !== "" && wanted(key, input)).map(([key, input]) => [key, key === "sampler" ? input.value : Number(input.value)]));
const remembered = inputs => ({ inputs, before: new Map(Object.entries(inputs).map(([key, input]) => [key, input.value])) });
const changed = ({ inputs, before }) => given(inputs, (key, input) => input.value !== before.get(key));

// A stage of a pipeline, which is folded: most requests leave it as configured.
function stageInputs(stage, limits) {
  const found = samplingInputs(stage, limits);
  if (stage.levels) found.level = slider({ label: "Noise level", least: 0, most: stage.levels[1], step: Number((stage.levels[1] / 100).toPrecision(1)), value: stage.level });
  if (stage.of) found.of = el("input", { type: "number", min: 1, max: 16, step: 1, value: stage.of });
  return found;
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
    this.seed = whole(0, 0, Number.MAX_SAFE_INTEGER);
    const other = el("button", { type: "button", class: "small", onclick: () => { this.seed.value = Math.floor(Math.random() * 1e6); } }, "New");
    this.seed.holder = el("span", { class: "pair" }, this.seed, other);
    sampling.append(field("Samples", this.n, `1 to ${limits.samples}`), field("Seed", this.seed));
    this.own = remembered(card.stages.length ? {} : samplingInputs(card, limits));
    sampling.append(...fields(this.own.inputs));
    sampling.querySelectorAll("details").forEach(old => old.remove());
    this.stages = new Map();
    for (const stage of card.stages) {
      const inputs = stageInputs(stage, limits), own = stage.follows ? `follows ${stage.follows}` : "";
      this.stages.set(stage.name, remembered(inputs));
      sampling.append(el("details", {}, el("summary", { title: stage.about }, `Stage ${stage.name} `, el("span", { class: "quiet" }, own)), ...fields(inputs)));
    }
  }

  cond() {
    const found = {};
    for (const [name, input] of this.conditions) if (input.value.trim() !== "") found[name] = input.value.trim();
    return found;
  }

  how() {
    return given(this.own.inputs);
  }

  // What is changed on the form: methods of `solve` have defaults of their own for what is not.
  changes() {
    return changed(this.own);
  }

  // What is changed of the stages of a pipeline: name -> keys.
  stageChanges() {
    return Object.fromEntries([...this.stages].map(([name, stage]) => [name, changed(stage)]).filter(([, keys]) => Object.keys(keys).length));
  }

  common() {
    return { model: this.card.name, seed: Number(this.seed.value), cond: this.cond() };
  }
}
