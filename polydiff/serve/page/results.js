// Sets of samples on the page: what was made, how, and what can be done with each.
import { el, plural, short } from "./dom.js";
import { mediumOf } from "./media.js";

const HOW = ["strength", "resample", "measurement", "noise", "method", "sampler", "steps", "guidance"];

export const captionOf = cond => Object.entries(cond ?? {})
  .filter(([, value]) => value !== "any").map(([name, value]) => name === "text" ? value : `${name} ${short(value)}`).join(", ");

function words(title, results) {
  const { facts } = results, keys = HOW.filter(key => facts[key] !== undefined && !(key === "guidance" && facts[key] === 1));
  const list = keys.map(key => `${key} ${Array.isArray(facts[key]) ? facts[key].map(short).join(", ") : short(facts[key])}`);
  return [title, `seed ${facts.seed}`, ...list, `${short(results.seconds)} s`].join(" \u00b7 ");
}

// Adds a set above the others. `acts` are what can be done with a sample: [label, function(sample, card)].
export async function add(place, title, results, acts) {
  document.getElementById("empty")?.remove();
  const medium = mediumOf(results.samples[0]?.file ?? "");
  const grid = el("div", { class: `grid ${medium.layout ?? "wide"}` });
  const remove = el("button", { type: "button", class: "small", "aria-label": `Remove: ${title}` }, "Remove");
  const zip = results.id ? el("a", { class: "button small", href: `/api/jobs/${results.id}/zip`, download: "" }, "Save all") : null;
  const set = el("section", { class: "set", "aria-label": title },
    el("header", {}, el("h2", {}, title), el("p", { class: "quiet" }, results.facts ? words(plural(results.samples.length, "sample"), results) : ""), zip, remove),
    ...(results.notes ?? []).map(note => el("p", { class: "note" }, note)), grid);
  remove.onclick = () => set.remove();
  place.prepend(set);
  if (results.before) grid.append(await beside(results.before, "before"));
  if (results.given) grid.append(await beside({ file: results.given, url: results.given }, "known"));
  for (const [i, sample] of results.samples.entries()) grid.append(await card(medium, results, sample, i, acts));
  if (medium.layout === undefined && results.id)
    set.append(el("iframe", { src: `/api/jobs/${results.id}/page`, sandbox: "allow-scripts", title: "The samples as their domain shows them" }));
  return set;
}

// The example that others were made of, or what was known of it, to compare them with.
async function beside(sample, label) {
  const media = el("div", { class: "media" }, await mediumOf(sample.file).view(sample.url, sample));
  return el("figure", { class: "card", "aria-label": label }, media, el("figcaption", { class: "caption" }, label));
}

async function card(medium, results, sample, i, acts) {
  sample.source = results.id ? { job: results.id, sample: i } : sample.source;
  sample.number = i;
  sample.facts = results.facts;
  sample.caption = [sample.smiles ?? sample.formula, medium.caption ? medium.caption(sample.cond, captionOf) : captionOf(sample.cond), sample.heard ? `heard ${sample.heard}` : ""].filter(Boolean).join(" \u00b7 ");
  const media = el("div", { class: "media" });
  try {
    media.append(await medium.view(sample.url, sample));
  } catch (error) {
    media.append(el("p", { class: "quiet" }, `It cannot be shown: ${error.message}`));
  }
  const name = `sample ${i + 1}`;
  const tools = el("div", { class: "tools" });
  const made = el("figure", { class: "card", "aria-label": name }, media,
    sample.caption ? el("figcaption", { class: "caption" }, sample.caption) : null, tools);
  if (results.id) tools.append(el("a", { class: "button small", href: sample.url, download: sample.file, "aria-label": `Save ${name}` }, "Save"));
  for (const [label, act] of acts) {
    if (label === "Film" && !sample.filmed) continue;
    tools.append(el("button", { type: "button", class: "small", "aria-label": `${label} ${name}`, onclick: () => act(sample, made) }, label));
  }
  return made;
}
