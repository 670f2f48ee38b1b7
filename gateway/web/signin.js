/**
 * Signing in by a token, where the node asks for one: as a client, and as one of those who run the node, whom its admin
 * listener shows more. The browser keeps both tokens for this tab only.
 *
 * Not here: what a token is and who makes it (gateway/authorizers/README.md), asking the admin listener (asking.js).
 */

import { byID, say } from "./dom.js";

const KEY = "whimbrel-token";
const ADMIN_KEY = "whimbrel-admin-token";
/** PROTOCOL section 10. */
const FORBIDDEN = 4312;

/** The token of this tab; undefined without one. */
export function storedToken() {
  return sessionStorage.getItem(KEY) ?? undefined;
}

/** The token for the admin listener; undefined without one. */
export function storedAdminToken() {
  return sessionStorage.getItem(ADMIN_KEY) ?? undefined;
}

/** The admin listener has not answered for want of a right token: ask for one. */
export function askForAdminToken() {
  byID("admin-signin").hidden = false;
  say(byID("admin-signin-why"), storedAdminToken() === undefined ? "This node shows itself to those with its admin token." : "The admin token is not taken.");
}

/** Whether the admin listener wants a token, as far as this tab knows. */
export const isAdminTokenWanted = () => storedAdminToken() !== undefined || !byID("admin-signin").hidden;

export class SignIn {
  constructor() {
    this.#keep("signin", KEY);
    this.#keep("admin-signin", ADMIN_KEY);
    byID("signout").hidden = storedToken() === undefined && storedAdminToken() === undefined;
    byID("signout").addEventListener("click", () => {
      for (const key of [KEY, ADMIN_KEY]) sessionStorage.removeItem(key);
      location.reload();
    });
  }

  /** The client is closed for good: if for want of a right token, ask for one. */
  closed(code, reason) {
    if (code < 4200 || code >= 4300) return;
    byID("signin").hidden = false;
    say(byID("signin-why"), storedToken() === undefined ? "This node asks for a token." : `The token is not taken: ${reason}.`);
  }

  /** The client may not do something: with a token it might. */
  refused(code) {
    if (code !== FORBIDDEN) return;
    byID("signin").hidden = false;
    say(byID("signin-why"), storedToken() === undefined ? "That takes a token." : "That takes another token.");
  }

  /** What is typed into a form is the token from now on. */
  #keep(form, key) {
    byID(form).addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(key, byID(`${form}-token`).value.trim());
      location.reload();
    });
  }
}
