// How an example is shown, by the suffix of its file. A medium has view(url, sample), an element, and for the media
// whose parts can be chosen pick(url, sample), {element, parts()} with the keys gap or mask of the request.
import { el } from "./dom.js";
import * as image from "./image.js";
import * as audio from "./audio.js";
import * as molecule from "./molecule.js";
import * as words from "./text.js";

const MEDIA = { png: image, wav: audio, flac: audio, ogg: audio, sdf: molecule, smi: words, txt: words };

// Files of other kinds are saved only; their set ends with the domain's own page, in a frame without rights.
const unknown = {
  view: async (url, sample) => el("p", { class: "quiet" }, `A file of its own kind: ${sample.file}`),
};

export const suffix = name => name.slice(name.lastIndexOf(".") + 1).toLowerCase();
export const ending = name => /(\.[a-z0-9]{1,8}){0,2}$/.exec(name.toLowerCase())[0].slice(1); // two parts of .mel.npz
export const mediumOf = name => MEDIA[suffix(name)] ?? unknown;
