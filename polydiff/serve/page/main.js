// The page: the models, the form, the job that runs, and the results.
import { get, Problem, run, upload } from "./api.js";
import { capital, el, plural } from "./dom.js";
import * as dialogs from "./edit.js";
import { Form } from "./form.js";
import { ending, mediumOf } from "./media.js";
import { useScripts } from "./molecule.js";
import { add } from "./results.js";

const by = id => document.getElementById(id);
let card, limits, form, running = null, first = null;

function note(text, alarm = false) {
  by("status").textContent = text;
  by("status").classList.toggle("alarm", alarm);
}

function show(status) {
  by("progress").hidden = status.state === "full";
  by("progress").value = status.progress ?? 0;
  if (status.state === "full") note(`The queue is full. Trying again in ${status.after} s.`);
  else if (status.state === "queued") note(status.position ? `Waiting: ${plural(status.position, "job")} before this one.` : "Waiting.");
  else if (status.state === "running") note(`${Math.round(100 * status.progress)} %`);
}

// Runs a job, with the form locked, and returns its results; null if it failed, with the reason on the page.
async function compute(request) {
  if (running) return note("Wait until the current job has ended, or cancel it.", true), null;
  running = new AbortController();
  by("go").disabled = true;
  by("cancel").hidden = false;
  try {
    const results = await run(request, show, running.signal);
    note("");
    return results;
  } catch (problem) {
    if (!(problem instanceof Problem)) console.error(problem);
    note(problem.message, problem.message !== "Cancelled.");
    return null;
  } finally {
    running = null;
    by("go").disabled = false;
    by("cancel").hidden = by("progress").hidden = true;
  }
}

const FROM_EXAMPLES = ["vary", "inpaint", "interpolate", "solve", "restore"];
const able = kind => card.actions.includes(kind);

// What can be done with a sample of the chosen model.
function acts(filmed) {
  const found = [];
  if (able("vary")) found.push(["Vary", sample => chosen(sample, () => dialogs.vary(sample, limits, request => edit("Variations", sample, request)))]);
  if (able("inpaint")) found.push(["Inpaint", sample => chosen(sample, () => mediumOf(sample.file).pick
    ? dialogs.inpaint(sample, limits, request => edit("A part again", sample, request), upload)
    : note("Parts of this kind of example can be chosen over the API only.", true))]);
  if (able("interpolate")) found.push(["Interpolate", between]);
  if (able("solve")) found.push(["Solve", sample => chosen(sample, () => dialogs.solve(sample, card, limits, request => edit(`Given ${request.given}`, sample, request)))]);
  if (able("restore")) found.push([capital(card.task), sample => chosen(sample, () => dialogs.restore(sample, card, limits, request => edit(capital(card.task), sample, request)))]);
  if (able("film") && filmed) found.push(["Film", film]);
  return found;
}

async function chosen(sample, open) {
  try {
    await open();
  } catch (error) {
    note(error.message, true);
  }
}

async function edit(title, sample, request) {
  const cond = request.add ? form.cond() : { ...own(sample.cond), ...form.cond() }; // a sample keeps what the form leaves open
  const sampling = request.kind === "solve" ? form.changes() : form.how();
  const results = await compute({ ...form.common(), cond, sampling, ...request });
  if (results) await add(by("results"), title, { ...results, before: sample }, acts(false));
}

async function between(sample, figure) {
  if (!first) {
    first = { sample, figure };
    figure.classList.add("chosen");
    return note("Now choose the other end: Interpolate at another sample. The same one again ends the choice.");
  }
  const a = first;
  a.figure.classList.remove("chosen");
  first = null;
  if (a.sample === sample) return note("");
  const shares = [0, 1, 2, 3, 4, 5, 6].map(i => i / 6);
  const results = await compute({ ...form.common(), cond: same(a.sample.cond, sample.cond), kind: "interpolate", a: a.sample.source, b: sample.source, shares });
  if (results) await add(by("results"), "Between two", results, acts(false));
}

const own = cond => Object.fromEntries(Object.entries(cond ?? {}).filter(([name, value]) => value !== "any" && form.conditions.has(name)));

// The conditions that two samples share, which hold all the way.
function same(a, b) {
  const pairs = Object.entries(own(a)).filter(([name, value]) => b?.[name] === value);
  return form.conditions.size === pairs.length ? Object.fromEntries(pairs) : {};
}

async function film(sample) {
  const { n, ...request } = sample.request;
  const results = await compute({ ...request, kind: "film", sample: sample.number, frames: 20 });
  if (results) dialogs.film(sample, results);
}

async function draw() {
  const n = Number(form.n.value), request = { ...form.common(), kind: "sample", n, sampling: form.how() };
  if (card.stages.length) request.stages = form.stageChanges();
  if (!by("form").checkValidity()) return by("form").reportValidity();
  const results = await compute(request);
  if (!results) return;
  for (const sample of results.samples) Object.assign(sample, { request, filmed: able("film") });
  await add(by("results"), card.name, results, acts(true));
}

async function ownFile(file) {
  if (!file) return;
  if (file.size > limits.upload) return note(`${file.name} is larger than this server takes.`, true);
  try {
    const kind = ending(file.name), sample = { file: file.name, url: URL.createObjectURL(file), source: { file: await upload(file, kind) } };
    await add(by("results"), `Your file ${file.name}`, { samples: [sample] }, acts(false));
    note("");
  } catch (problem) {
    note(problem.message, true);
  }
}

function choose(name, models) {
  card = models.find(one => one.name === name);
  first = null;
  useScripts(card.scripts.map(one => `/api/models/${encodeURIComponent(card.name)}/scripts/${encodeURIComponent(one)}`));
  form = new Form(card, limits, by("conditions"), by("sampling"));
  by("about").textContent = [card.domain, card.form, card.about, card.stages.length ? `stages ${card.stages.map(stage => stage.name).join(", ")}` : "", `step ${card.step.toLocaleString("en")}`]
    .filter(Boolean).join(" \u00b7 ");
  by("upload").hidden = !FROM_EXAMPLES.some(able);
  form.n.closest(".field").hidden = by("go").hidden = !able("sample");
  if (by("empty")) by("empty").textContent = able("sample") ? "Samples appear here." : `This model restores examples (${card.task}). Choose a file of yours on the form.`;
  document.title = `${card.name} \u00b7 polydiff`;
}

async function start() {
  const found = await get("/api/models");
  limits = found.limits;
  const select = by("model");
  select.append(...found.models.map(one => el("option", { value: one.name }, `${one.name} (${one.domain})`)));
  select.parentElement.hidden = false;
  select.onchange = () => choose(select.value, found.models);
  choose(found.models[0].name, found.models);
  by("form").onsubmit = event => { event.preventDefault(); draw(); };
  by("cancel").onclick = () => running?.abort();
  by("file").onchange = event => { ownFile(event.target.files[0]); event.target.value = ""; };
}

start().catch(problem => note(problem.message, true));
