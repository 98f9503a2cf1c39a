// Texts, coloured by kinds of letters, and letters chosen on them.
import { text as fetchText } from "./api.js";
import { el } from "./dom.js";

export const layout = "words";
const MASKED = "\u25a2";

function kindOf(letter) {
  if (letter === MASKED || letter === "_") return "masked";
  if (/\p{Nd}/u.test(letter)) return "digit";
  if (/\p{L}/u.test(letter)) return letter !== letter.toLowerCase() ? "capital" : "small";
  return /\s/u.test(letter) ? "small" : "sign";
}

const content = async url => (await fetchText(url)).replace(/\n$/, "");
const span = letter => el("span", { class: kindOf(letter) }, letter);

function coloured(text) {
  return text ? [...text].map(span) : [el("span", { class: "quiet" }, "(empty)")];
}

export async function view(url) {
  return el("div", { class: "text" }, ...coloured(await content(url)));
}

export async function show(box, url) {
  const place = box.querySelector(".text") ?? box.appendChild(el("div", { class: "text words media" }));
  place.replaceChildren(...coloured(await content(url)));
}

export async function pick(url) {
  const letters = [...await content(url)];
  let value = true;
  const set = (button, on) => button.setAttribute("aria-pressed", on);
  const chosen = button => button.getAttribute("aria-pressed") === "true";
  const buttons = letters.map((letter, i) => el("button", { type: "button", "aria-pressed": "false", "aria-label":
    `letter ${i}: ${letter === " " ? "space" : letter}`, onclick: event => { if (!event.detail) set(event.currentTarget, !chosen(event.currentTarget)); } },
    letter === " " ? "\u2423" : letter));
  const box = el("div", { class: "letters", role: "group", "aria-label": "Letters to generate" }, ...buttons);
  const under = event => document.elementFromPoint(event.clientX, event.clientY)?.closest(".letters button");
  box.onpointerdown = event => { const one = under(event); if (one) set(one, value = !chosen(one)); };
  box.onpointermove = event => { const one = event.buttons ? under(event) : null; if (one) set(one, value); };
  const element = el("div", {}, el("p", { class: "hint" }, "Choose the letters to generate again: click, or drag over several."), box);
  async function parts() {
    const gap = [];
    buttons.forEach((button, i) => {
      if (!chosen(button)) return;
      const before = gap.at(-1);
      if (before?.[1] === i) before[1] = i + 1;
      else gap.push([i, i + 1]);
    });
    if (!gap.length) throw new Error("Choose letters first.");
    return { gap: gap.map(([a, b]) => `${a}:${b}`) };
  }
  return { element, parts };
}
