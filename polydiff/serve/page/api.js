// The server's API: jobs that are sent, watched and fetched.
export class Problem extends Error {}

async function asked(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Problem("The server does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  const problem = new Problem([told.where, told.error ?? `Status ${answer.status}`].filter(Boolean).join(": "));
  problem.status = answer.status;
  problem.after = Number(answer.headers.get("retry-after")) || 0;
  throw problem;
}

export const get = async address => (await asked(address)).json();
export const text = async address => (await asked(address)).text();
export const bytes = async address => (await asked(address)).arrayBuffer();

const wait = (seconds, signal) => new Promise((done, failed) => {
  const timer = setTimeout(done, 1000 * seconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); failed(new Problem("Cancelled.")); });
});

async function send(request, says, signal) {
  for (;;) {
    try {
      const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request) };
      return await (await asked("/api/jobs", options)).json();
    } catch (problem) {
      if (problem.status !== 429) throw problem;
      says({ state: "full", after: problem.after });
      await wait(problem.after || 1, signal);
    }
  }
}

// Sends a job, tells its status as it changes, and returns its results.
export async function run(request, says, signal) {
  const job = await send(request, says, signal);
  const here = `/api/jobs/${job.id}`;
  const over = await new Promise((done, failed) => {
    const stream = new EventSource(`${here}/events`);
    const end = () => stream.close();
    signal.addEventListener("abort", () => {
      end();
      fetch(here, { method: "DELETE" }).catch(() => null);
      failed(new Problem("Cancelled."));
    });
    stream.onmessage = event => {
      const status = JSON.parse(event.data);
      says(status);
      if (["done", "failed", "cancelled"].includes(status.state)) { end(); done(status); }
    };
    stream.onerror = () => { end(); failed(new Problem("The connection to the server was lost.")); };
  });
  if (over.state !== "done") throw new Problem(over.message || `The job was ${over.state}.`);
  return { ...(await get(`${here}/results`)), seconds: over.seconds };
}

export async function upload(data, suffix) {
  const answer = await asked(`/api/files?suffix=${encodeURIComponent(suffix)}`, { method: "POST", body: data });
  return (await answer.json()).id;
}
