/**
 * The links to a node's status and metrics as they are. A browser that follows a link sends no token along: where the
 * admin listener wants one they have no address that a browser could open, also in a new tab; the page fetches what they
 * lead to and shows that.
 *
 * Not here: asking (asking.js), the same figures for people (status.js).
 */

import { ask, isHome } from "./asking.js";
import { byID, say } from "./dom.js";
import { isAdminTokenWanted } from "./signin.js";

const PATHS = { "status-link": "v1/status", "metrics-link": "metrics" };
const MIDDLE = 1;

export class RawLinks {
  #origin;

  constructor(origin) {
    this.#origin = origin;
    for (const [id, path] of Object.entries(PATHS)) {
      const link = byID(id);
      link.addEventListener("click", (event) => this.#follow(event, path, event.ctrlKey || event.metaKey || event.shiftKey));
      link.addEventListener("auxclick", (event) => event.button === MIDDLE && this.#follow(event, path, true));
      link.addEventListener("keydown", (event) => event.key === "Enter" && this.#follow(event, path, false));
    }
  }

  /** They lead to the node there, as far as is known now. */
  pointTo(origin) {
    this.#origin = origin;
    for (const [id, path] of Object.entries(PATHS)) {
      if (this.#isTokenWanted()) byID(id).removeAttribute("href");
      else byID(id).href = `${origin}/${path}`;
    }
  }

  #isTokenWanted() {
    return isHome(this.#origin) && isAdminTokenWanted();
  }

  async #follow(event, path, isNewTab) {
    if (!this.#isTokenWanted()) return;
    event.preventDefault();
    say(byID("raw-why"), "");
    const tab = isNewTab ? open() : window; // at once: later it would count as a pop-up that nobody asked for
    const answer = await this.#fetched(path);
    if (answer !== null) tab?.location.assign(URL.createObjectURL(answer));
    else if (isNewTab) tab?.close();
  }

  /** What is there; null if there is nothing to show: the page says why. */
  async #fetched(path) {
    try {
      const answer = await ask(this.#origin, path);
      if (answer.ok) return await answer.blob();
      if (answer.status === 401) byID("admin-signin-token").focus();
      else say(byID("raw-why"), await answer.text());
    } catch {
      say(byID("raw-why"), "The node does not answer.");
    }
    return null;
  }
}
