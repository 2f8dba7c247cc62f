// Requests to the JSON API, and the exchange of the token for a cookie.

const API = "/api/v1";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// The token is in the fragment of the link that `embedkit serve` prints; servers never see it there.
export async function signIn() {
  const token = location.hash.slice(1);
  if (!/^[\w-]{20,}$/.test(token)) return;
  history.replaceState(null, "", location.pathname + location.search);
  await post("/session", { token });
}

export const get = (path, options = {}) => request(path, options);

export const getBytes = (path) => request(path, {}, (response) => response.arrayBuffer());

export const post = (path, content, options = {}) => request(path, {
  ...options,
  method: "POST",
  ...(content instanceof FormData
    ? { body: content }
    : { body: JSON.stringify(content), headers: { "content-type": "application/json" } }),
});

export const address = (path) => API + path;

async function request(path, options, read = (response) => response.json().catch(() => null)) {
  let response;
  try {
    response = await fetch(API + path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer. Is 'embedkit serve' still running?");
  }
  if (response.status === 204) return null;
  if (response.ok) return read(response);
  const content = await response.json().catch(() => null);
  throw new ApiError(response.status, content?.detail ?? `The server answered ${response.status}.`);
}
