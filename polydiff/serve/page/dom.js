// Elements in one call: el("button", { type: "button", onclick }, "Sample").
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

let last = 0;
export const unique = prefix => `${prefix}-${++last}`;

export function field(label, input, hint = "", tall = false) {
  input.id ||= unique("field");
  const below = hint ? el("p", { class: "hint", id: unique("hint") }, hint) : null;
  if (below) input.setAttribute("aria-describedby", below.id);
  const holder = input.holder ?? input;
  return el("div", { class: tall ? "field tall" : "field" }, el("label", { for: input.id }, label), holder, below);
}

// A number with a slider beside it; `empty` allows none, which the slider shows paler.
export function slider({ label, least, most, step, value, empty = false }) {
  const range = el("input", { type: "range", min: least, max: most, step, "aria-label": `${label}, slider` });
  const input = el("input", { type: "number", step: "any", value: value ?? "", placeholder: empty ? "any" : "" });
  const show = () => {
    range.classList.toggle("unset", input.value === "");
    range.value = input.value === "" ? (least + most) / 2 : input.value;
  };
  range.oninput = () => { input.value = range.value; range.classList.remove("unset"); };
  input.oninput = show;
  input.holder = el("span", { class: "pair" }, range, input);
  input.show = show;
  show();
  return input;
}

export const capital = word => word.charAt(0).toUpperCase() + word.slice(1);
export const plural = (n, one, many = one + "s") => `${n} ${n === 1 ? one : many}`;
export const short = value => typeof value === "number" && !Number.isInteger(value) ? String(+value.toPrecision(4)) : String(value);
