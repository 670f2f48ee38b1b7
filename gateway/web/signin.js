/**
 * Signing in by a token, where the node asks for one. The browser keeps it for this tab only.
 *
 * Not here: what a token is and who makes it (gateway/authorizers/README.md).
 */

import { byID, say } from "./dom.js";

const KEY = "whimbrel-token";

/** The token of this tab; undefined without one. */
export function storedToken() {
  return sessionStorage.getItem(KEY) ?? undefined;
}

export class SignIn {
  constructor() {
    byID("signin").addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, byID("signin-token").value.trim());
      location.reload();
    });
    byID("signout").hidden = storedToken() === undefined;
    byID("signout").addEventListener("click", () => {
      sessionStorage.removeItem(KEY);
      location.reload();
    });
  }

  /** The client is closed for good: if for want of a right token, ask for one. */
  closed(code, reason) {
    if (code < 4200 || code >= 4300) return;
    byID("signin").hidden = false;
    say(byID("signin-why"), storedToken() === undefined ? "This node asks for a token." : `The token is not taken: ${reason}.`);
  }
}
