// The server's API: jobs that are sent, watched and fetched.
export class Problem extends Error {}

async function request(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Problem("The server does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  const found = await answer.json().catch(() => ({}));
  const problem = new Problem([found.error?.startsWith(found.where) ? "" : found.where, found.error ?? `Status ${answer.status}`].filter(Boolean).join(": "));
  problem.status = answer.status;
  problem.after = Number(answer.headers.get("retry-after")) || 0;
  throw problem;
}

export const get = async address => (await request(address)).json();
export const text = async address => (await request(address)).text();
export const bytes = async address => (await request(address)).arrayBuffer();

const wait = (seconds, signal) => new Promise((done, failed) => {
  const timer = setTimeout(done, 1000 * seconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); failed(new Problem("Cancelled.")); });
});

async function send(job, report, signal) {
  for (;;) {
    try {
      const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(job) };
      return await (await request("/api/jobs", options)).json();
    } catch (problem) {
      if (problem.status !== 429) throw problem;
      report({ state: "full", after: problem.after });
      await wait(problem.after || 1, signal);
    }
  }
}

// Sends a job, reports its status as it changes, and returns its results.
export async function run(wanted, report, signal) {
  const job = await send(wanted, report, signal);
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
      report(status);
      if (["done", "failed", "cancelled"].includes(status.state)) { end(); done(status); }
    };
    stream.onerror = () => { end(); failed(new Problem("The connection to the server was lost.")); };
  });
  if (over.state !== "done") throw new Problem(over.message || `The job was ${over.state}.`);
  return { ...(await get(`${here}/results`)), seconds: over.seconds };
}

export async function upload(data, suffix) {
  const answer = await request(`/api/files?suffix=${encodeURIComponent(suffix)}`, { method: "POST", body: data });
  return (await answer.json()).id;
}
