// Sounds: a player with the waveform and the spectrogram, and spans chosen on them.
import { bytes } from "./api.js";
import { el } from "./dom.js";

export const layout = "wide";
const WIDE = 480, WAVE = 70, HIGH = 140, SIZE = 512, RANGE = 70; // pixels, samples of a window, decibels
const STOPS = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]]; // magma

function colour(share) {
  const at = Math.min(Math.max(share, 0), .9999) * (STOPS.length - 1), i = Math.floor(at), t = at - i;
  return STOPS[i].map((from, k) => Math.round(from + (STOPS[i + 1][k] - from) * t));
}

// The rate of a .wav file, so that decoding does not resample it; the usual one of other files.
function rateOf(data) {
  const head = new DataView(data);
  const riff = data.byteLength > 28 && head.getUint32(0) === 0x52494646;
  return riff ? Math.min(Math.max(head.getUint32(24, true), 3000), 192000) : 44100;
}

async function decoded(url) {
  const data = await bytes(url), rate = rateOf(data);
  const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(data);
  const mono = new Float32Array(sound.length);
  for (let c = 0; c < sound.numberOfChannels; c++) sound.getChannelData(c).forEach((v, i) => { mono[i] += v / sound.numberOfChannels; });
  return { mono, rate: sound.sampleRate, seconds: sound.duration };
}

// Squared magnitudes of the Fourier transform of real numbers, SIZE of them: radix 2, in place.
function power(re) {
  const im = new Float32Array(SIZE), out = new Float32Array(SIZE / 2);
  for (let i = 1, j = 0; i < SIZE; i++) {
    let bit = SIZE >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [re[i], re[j]] = [re[j], re[i]];
  }
  for (let n = 2; n <= SIZE; n <<= 1)
    for (let i = 0; i < SIZE; i += n)
      for (let k = 0; k < n / 2; k++) {
        const c = Math.cos(2 * Math.PI * k / n), s = -Math.sin(2 * Math.PI * k / n), a = i + k, b = a + n / 2;
        const x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
        re[b] = re[a] - x; im[b] = im[a] - y; re[a] += x; im[a] += y;
      }
  for (let i = 0; i < SIZE / 2; i++) out[i] = re[i] * re[i] + im[i] * im[i];
  return out;
}

const mel = hertz => 2595 * Math.log10(1 + hertz / 700);
const hertz = value => 700 * (10 ** (value / 2595) - 1);

function draw(canvas, { mono, rate }) {
  const pen = canvas.getContext("2d"), pixels = pen.createImageData(WIDE, WAVE + HIGH), top = mel(rate / 2);
  const put = (x, y, share) => pixels.data.set([...colour(share), 255], 4 * (y * WIDE + x));
  const columns = [];
  for (let x = 0; x < WIDE; x++) {
    const from = Math.floor(x * mono.length / WIDE), to = Math.max(from + 1, Math.floor((x + 1) * mono.length / WIDE));
    let low = 1, high = -1;
    for (let i = from; i < to; i++) { low = Math.min(low, mono[i]); high = Math.max(high, mono[i]); }
    for (let y = 0; y < WAVE; y++) {
      const value = 1 - 2 * y / (WAVE - 1), half = 1 / (WAVE - 1);
      put(x, y, value <= high + half && value >= low - half ? .75 : 0);
    }
    const middle = Math.floor((from + to) / 2), window = new Float32Array(SIZE);
    for (let i = 0; i < SIZE; i++) window[i] = (mono[middle + i - SIZE / 2] ?? 0) * (.5 - .5 * Math.cos(2 * Math.PI * i / SIZE));
    columns.push(power(window));
  }
  const loudest = columns.reduce((most, column) => column.reduce((a, b) => Math.max(a, b), most), 1e-9);
  columns.forEach((column, x) => {
    for (let y = 0; y < HIGH; y++) {
      const at = hertz(top * (1 - (y + .5) / HIGH)) * SIZE / rate, i = Math.min(Math.floor(at), SIZE / 2 - 2);
      const value = column[i] + (column[i + 1] - column[i]) * (at - i);
      put(x, WAVE + y, 1 + 10 * Math.log10(Math.max(value, 1e-12) / loudest) / RANGE);
    }
  });
  pen.putImageData(pixels, 0, 0);
}

function canvas(caption) {
  return el("canvas", { class: "sound", width: WIDE, height: WAVE + HIGH, role: "img", "aria-label":
    `Waveform above, spectrogram below${caption ? `: ${caption}` : ""}` });
}

function player(url) {
  const made = el("audio", { controls: true, preload: "metadata", src: url });
  made.onplay = () => document.querySelectorAll("audio").forEach(other => { if (other !== made) other.pause(); });
  return made;
}

export async function view(url, sample) {
  const picture = canvas(sample.caption);
  draw(picture, await decoded(url));
  return el("div", {}, picture, player(url));
}

export async function show(box, url) {
  if (!box.firstChild) box.append(canvas(""), player(url));
  draw(box.querySelector("canvas"), await decoded(url));
  box.querySelector("audio").src = url;
}

export async function pick(url, sample) {
  const sound = await decoded(url), picture = canvas(sample.caption);
  draw(picture, sound);
  const number = (value, label) => el("input", { type: "number", min: 0, max: sound.seconds.toFixed(3), step: "any", value: value.toFixed(3), "aria-label": label });
  const from = number(sound.seconds / 3, "Beginning in seconds"), to = number(2 * sound.seconds / 3, "End in seconds");
  const span = el("div", { class: "span" }), box = el("div", { class: "paint media" }, picture, span);
  const place = () => {
    const [a, b] = [from, to].map(input => Math.min(Math.max(input.value / sound.seconds, 0), 1));
    Object.assign(span.style, { left: `${100 * Math.min(a, b)}%`, width: `${100 * Math.abs(b - a)}%` });
  };
  const seconds = event => {
    const edges = picture.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - edges.left) / edges.width, 0), 1) * sound.seconds;
  };
  let start = 0;
  const drag = event => {
    const here = seconds(event);
    [from.value, to.value] = [Math.min(start, here), Math.max(start, here)].map(value => value.toFixed(3));
    place();
  };
  box.onpointerdown = event => { box.setPointerCapture(event.pointerId); start = seconds(event); drag(event); };
  box.onpointermove = event => { if (event.buttons) drag(event); };
  from.oninput = to.oninput = place;
  place();
  const element = el("div", {}, el("p", { class: "hint" }, "Drag over the span to generate again."), box,
    el("div", { class: "tools-row" }, el("label", {}, "from ", from), el("label", {}, "to ", to), "seconds"), player(url));
  async function parts() {
    const [a, b] = [Number(from.value), Number(to.value)];
    if (!(a < b)) throw new Error("The span is empty: its beginning must come before its end.");
    return { gap: [`${a}:${b}`] };
  }
  return { element, parts };
}
