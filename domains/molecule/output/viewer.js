// 3-D view of molecules on the pages of show.py. Without WebGL or without this script, the 2-D drawings stay.
//
// A browser allows a page few WebGL contexts. So one hidden viewer renders images of the molecules that scroll into view,
// and at most MAX_LIVE interactive viewers are open; the oldest closes for a new one. load3Dmol, defined before this
// script, loads 3Dmol.js. Molecules in an element with data-live are interactive from the start.
(() => {
  "use strict";
  const MAX_LIVE = 4, WIDE = 312, HIGH = 260, WIDTH = 150, HEIGHT = 110;
  const context = document.createElement("canvas").getContext("webgl2");
  const groups = [...document.querySelectorAll(".molecules")];
  if (!context || !groups.length) return;
  context.getExtension("WEBGL_lose_context")?.loseContext();

  let studio = null, mode = "flat";
  const live = [], waiting = new Set(), seen = new IntersectionObserver(entries => {
    for (const { target, isIntersecting } of entries) waiting[isIntersecting ? "add" : "delete"](target);
    requestAnimationFrame(next);
  });
  const lasting = groups.filter(group => "live" in group.dataset), changing = groups.filter(group => !lasting.includes(group));
  const within = some => some.flatMap(group => [...group.querySelectorAll("figure[data-atoms]")]);
  const figures = () => within(changing);
  const part = (figure, name) => figure.querySelector("." + name);

  function viewer(box) {
    if (!window.$3Dmol) load3Dmol.call(window);
    return window.$3Dmol.createViewer(box, { backgroundColor: "white", antialias: true, disableFog: true });
  }

  function fill(view, figure) {
    const colours = JSON.parse(figure.parentElement.dataset.colours), stand = figure.dataset.bonds != "";
    const atoms = figure.dataset.atoms.split(";").map((text, index) => {
      const [elem, x, y, z] = text.split(" ");
      return { elem, x: +x, y: +y, z: +z, index, serial: index, bonds: [], bondOrder: [], properties: {} };
    });
    for (const text of stand ? figure.dataset.bonds.split(";") : []) {
      const [a, b, order] = text.split(" ").map(Number);
      atoms[a].bonds.push(b), atoms[a].bondOrder.push(order);
      atoms[b].bonds.push(a), atoms[b].bondOrder.push(order);
    }
    const colorscheme = { prop: "elem", map: colours };
    view.removeAllModels();
    view.addModel().addAtoms(atoms);
    const stick = { radius: 0.14, doubleBondScaling: 0.5, tripleBondScaling: 0.4, colorscheme };
    view.setStyle({}, { stick, sphere: { scale: 0.22, colorscheme } });
    view.zoomTo();
    view.zoom(closer(atoms, view == studio));
    view.render();
  }

  // zoomTo fits a sphere of 5 Å, or a larger one around all atoms. A molecule that can be rotated must fit as a sphere.
  function closer(atoms, still) {
    const most = of => Math.max(...atoms.map(of)) + 0.5, ball = most(a => Math.hypot(a.x, a.y, a.z));
    const room = 4.7 * Math.max(1, ball / 5);
    if (!still) return Math.min(2.5, room / ball);
    return Math.min(2.5, room / most(a => Math.abs(a.y)), (room * WIDTH) / HEIGHT / most(a => Math.abs(a.x)));
  }

  function next() { // one image per frame, so that the page stays responsive
    if (mode != "space" || !waiting.size) return;
    const [figure] = waiting, image = part(figure, "space");
    waiting.delete(figure);
    if (!image.src) {
      studio ??= viewer(hidden());
      fill(studio, figure);
      image.src = studio.pngURI();
    }
    still(figure);
    requestAnimationFrame(next);
  }

  function hidden() {
    const box = document.createElement("div");
    box.style.cssText = `position:fixed;left:-9999px;width:${WIDTH}px;height:${HEIGHT}px`;
    document.body.append(box);
    return box;
  }

  function still(figure) {
    const image = part(figure, "space"), drawn = mode == "space" && image.hasAttribute("src");
    image.hidden = !drawn;
    part(figure, "flat").hidden = drawn;
  }

  function begin(figure) { // with the size of its place, and without an end
    const box = document.createElement("div");
    box.style.cssText = "position:relative;width:100%;height:100%;cursor:grab;touch-action:pan-y";
    part(figure, "still").hidden = true;
    figure.prepend(box);
    const view = viewer(box);
    fill(view, figure);
    view.zoom(1.25); // its place is wide, so that corners may leave it while it is turned
    view.render();
  }

  function open(figure) {
    if (live.some(one => one.figure == figure)) return;
    if (live.length == MAX_LIVE) close(live[0]);
    const box = document.createElement("div"), shut = document.createElement("button");
    box.style.cssText = `position:relative;width:${WIDE}px;max-width:100%;height:${HIGH}px;cursor:grab;touch-action:none`;
    shut.textContent = "×";
    shut.title = "Close";
    shut.style.cssText = "position:absolute;right:2px;top:2px;z-index:9;border:0;background:#fffc;font:18px/1 sans-serif;cursor:pointer";
    part(figure, "still").hidden = true;
    figure.prepend(box);
    figure.style.width = `min(${WIDE}px, 100%)`;
    const one = { figure, box, view: viewer(box) };
    fill(one.view, figure);
    box.append(shut);
    live.push(one);
    shut.onclick = event => (event.stopPropagation(), close(one));
  }

  function close(one) {
    live.splice(live.indexOf(one), 1);
    one.box.querySelector("canvas")?.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
    one.box.remove();
    one.figure.style.width = part(one.figure, "still").style.width;
    part(one.figure, "still").hidden = false;
  }

  function show(which) {
    mode = which;
    waiting.clear();
    [...live].forEach(close);
    for (const figure of figures()) {
      still(figure);
      seen.unobserve(figure);
      if (mode == "space") seen.observe(figure);
    }
    for (const button of document.querySelectorAll(".molecules-mode button")) {
      button.setAttribute("aria-pressed", button.value == mode);
      button.style.fontWeight = button.value == mode ? "600" : "400";
      button.style.background = button.value == mode ? "#e8eef6" : "#fff";
    }
  }

  within(lasting).forEach(begin);
  const headed = new Set();
  for (const group of changing) { // one bar for each part of a page, since it changes all of them
    const part = group.closest(".sheet") ?? group.parentElement;
    if (headed.has(part)) continue;
    headed.add(part);
    const bar = document.createElement("div");
    bar.className = "molecules-mode";
    bar.style.cssText = "margin-bottom:8px;font:12px/1.4 sans-serif;color:#555";
    for (const [value, words] of [["flat", "Drawings"], ["space", "In space"]]) {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", value, textContent: words, onclick: () => show(value) });
      button.style.cssText = "font:inherit;color:#222;border:1px solid #bbb;border-radius:4px;padding:2px 8px;margin-right:4px;cursor:pointer";
      bar.append(button);
    }
    bar.append("Click a molecule to rotate it.");
    part.className == "sheet" ? part.prepend(bar) : group.before(bar);
  }
  for (const figure of figures()) {
    const box = part(figure, "still");
    box.tabIndex = 0;
    box.setAttribute("role", "button");
    box.setAttribute("aria-label", "Show in 3-D");
    box.style.cursor = "pointer";
    box.onclick = () => open(figure);
    box.onkeydown = event => { if (event.key == "Enter") open(figure); };
  }
  show("flat");
})();
