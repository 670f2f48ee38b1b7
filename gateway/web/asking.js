/**
 * Asks a node over HTTP. The admin token goes only to the listener that has this page.
 *
 * Not here: which node to ask (sources.js), where the token comes from (signin.js).
 */

import { askForAdminToken, storedAdminToken } from "./signin.js";

const TIMEOUT_MS = 2500;

/** Whether these are the pages of the listener that this page comes from. */
export const isHome = (origin) => new URL(origin).origin === location.origin;

/**
 * What the node there answers, whatever its status.
 *
 * @throws {Error} if it does not, or not in time
 */
export async function ask(origin, path) {
  const token = isHome(origin) ? storedAdminToken() : undefined;
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const answer = await fetch(`${origin}/${path}`, { headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (answer.status === 401 && isHome(origin)) askForAdminToken();
  return answer;
}

/** What the node there says of itself, or null when it does not. */
export async function fetchStatus(origin) {
  try {
    const answer = await ask(origin, "v1/status");
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}
