// Requests to the server: which runs it has, and what one of them makes of an image.

const STORED = "saccade-token";

/** What came instead of an answer; `kind` is the key of its sentence in the table of words. */
export class Refusal extends Error {
  constructor(kind, { status = 0, message = "", hint = "", seconds = 0, values = {} } = {}) {
    super(message || kind);
    Object.assign(this, { kind, status, detail: message, hint, seconds, values });
  }
}

/** Take a token from `#token=...` of the address, and take it out of there. */
export function tokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  useToken(given);
  history.replaceState(null, "", location.pathname + location.search);
}

/** Send this token from now on. */
export const useToken = (token) => sessionStorage.setItem(STORED, token);

/** The runs of the server. */
export const runs = async (signal) => (await request("v1/runs", { signal })).runs;

/**
 * What a run makes of an image: `{result, grid, mapRefusal}`, where `result` is an answer or a
 * caption. A run that cannot be explained (an image of one region) is asked without its map.
 */
export async function predict(run, image, question, signal) {
  const body = new FormData();
  body.append("image", image.blob, image.name);
  body.append("run", run.name);
  if (run.task === "vqa") body.append("question", question);
  const post = { method: "POST", body, signal };
  try {
    return read(await request("v1/explain", post));
  } catch (refusal) {
    if (!(refusal instanceof Refusal) || refusal.kind !== "refused_other") throw refusal;
    const plain = await request(run.task === "vqa" ? "v1/ask" : "v1/caption", post);
    return { ...read(plain), mapRefusal: refusal };
  }
}

function read(reply) {
  return { result: reply.answers?.[0] ?? reply.caption, grid: reply.grid, size: reply.image };
}

async function request(path, options) {
  const headers = {};
  const token = sessionStorage.getItem(STORED);
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("refused_network");
  }
  // A server in front may answer with a page of its own: then the status alone must do.
  const reply = await response.json().catch(() => null);
  if (response.ok && reply) return reply;
  throw new Refusal(kindOf(response.status, token), {
    status: response.status,
    message: reply?.error?.message,
    hint: reply?.error?.hint,
    seconds: Number(response.headers.get("Retry-After")) || 1,
  });
}

function kindOf(status, token) {
  const kinds = {
    401: token ? "refused_token" : "token_missing",
    408: "refused_slow",
    413: "refused_large",
    429: "refused_busy",
    503: "refused_slow",
  };
  return kinds[status] ?? (status >= 400 && status < 500 ? "refused_other" : "refused_broken");
}
