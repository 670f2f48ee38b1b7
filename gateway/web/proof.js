/**
 * The page's own proof that nothing is missing and nothing comes twice: it follows each subject's chain of `prev` over
 * the messages that it was handed, without trusting the SDK.
 *
 * A message is *repeated* if its position is not after the subject's last one; something is *missed* if `prev` is
 * after everything that was had. What a gap has stated is not missed. One `Proof` for each subscription.
 *
 * Not here: making up for a loss, which is the SDK's work.
 */

const SUBJECTS_MAX = 20_000;

const isAfter = (a, b) => a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);

export class Proof {
  received = 0;
  missed = 0;
  repeated = 0;

  /** log -> from where on nothing may be missing */
  #since = new Map();
  /** log and subject -> last position, the longest quiet first */
  #last = new Map();

  /** The subscription begins here; logs that it already has are left as they are. */
  begin(at) {
    for (const [log, position] of Object.entries(at)) if (!this.#since.has(log)) this.#since.set(log, position);
  }

  /** What the server has said that it cannot give. */
  gap(gaps) {
    for (const { log, to } of gaps) {
      for (const [key, entry] of this.#last) if (entry.log === log) this.#last.delete(key);
      if (to === null) this.#since.delete(log);
      else this.#since.set(log, to);
    }
  }

  message({ subject, log, at, prev, snapshot }) {
    this.received += 1;
    const key = `${log} ${subject}`;
    const last = this.#last.get(key)?.at;
    if (last !== undefined && !isAfter(at, last)) {
      this.repeated += 1;
      return;
    }
    const since = this.#since.get(log);
    const had = last === undefined || (since !== undefined && isAfter(since, last)) ? since : last;
    if (!snapshot && prev !== null && had !== undefined && isAfter(prev, had)) this.missed += 1;
    this.#last.delete(key);
    this.#last.set(key, { log, at });
    if (this.#last.size > SUBJECTS_MAX) this.#forgetOldest();
  }

  /** What is forgotten becomes part of `since`, so that its next message is not taken for a loss. */
  #forgetOldest() {
    const [key, { log, at }] = this.#last.entries().next().value;
    this.#last.delete(key);
    const since = this.#since.get(log);
    if (since === undefined || isAfter(at, since)) this.#since.set(log, at);
  }
}
