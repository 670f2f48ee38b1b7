/**
 * The links to a node's status and metrics as they are. A browser that follows a link sends no token along: where the
 * admin listener wants one, the page fetches what the link leads to and shows that.
 *
 * Not here: asking (asking.js), the same figures for people (status.js).
 */

import { ask, isHome } from "./asking.js";
import { byID, say } from "./dom.js";
import { isAdminTokenWanted } from "./signin.js";

const PATHS = { "status-link": "v1/status", "metrics-link": "metrics" };

export class RawLinks {
  #origin;

  constructor(origin) {
    for (const [id, path] of Object.entries(PATHS)) byID(id).addEventListener("click", (event) => this.#follow(event, path));
    this.pointTo(origin);
  }

  /** They lead to the node there. */
  pointTo(origin) {
    this.#origin = origin;
    for (const [id, path] of Object.entries(PATHS)) byID(id).href = `${origin}/${path}`;
  }

  async #follow(event, path) {
    if (!isHome(this.#origin) || !isAdminTokenWanted()) return;
    event.preventDefault();
    say(byID("raw-why"), "");
    try {
      const answer = await ask(this.#origin, path);
      if (answer.status === 401) byID("admin-signin-token").focus();
      else if (answer.ok) location.assign(URL.createObjectURL(await answer.blob()));
      else say(byID("raw-why"), await answer.text());
    } catch {
      say(byID("raw-why"), "The node does not answer.");
    }
  }
}
