/**
 * One subscription as an application sees it: a callback, or a queue and iteration over it.
 *
 * Invariant: `place` covers only messages that the application has taken, so it may be kept and resumed from at any time.
 *
 * Not here: what is sent about it (session.js), when a queue is full (whimbrel.js).
 */

/** @typedef {import("./place.js").Place} Place */
/** @typedef {import("./session.js").SubscriptionEvent} SubscriptionEvent */

/**
 * @template [T=any]
 * @typedef {import("./message.js").Message<T>} Message
 */

/**
 * The client, as its subscriptions need it.
 *
 * @typedef {object} Owner
 * @property {(event: SubscriptionEvent, subscription: Subscription) => void} tell
 * @property {() => void} took the queue has become shorter
 * @property {(callback: (argument: any) => unknown, argument: unknown, what: string) => void} call the application's own function
 * @property {() => void} end
 */

/**
 * A subject or pattern that is being received.
 *
 * Without a callback it is an asynchronous iterable of messages. To leave an iteration does not end the subscription; it may be
 * iterated again.
 *
 * @template [T=any] what the messages' JSON values say
 */
export class Subscription {
  #owner;
  #callback;
  /** @type {Place} */
  #place = {};
  /** What waits for iteration. @type {SubscriptionEvent[]} */
  #queue = [];
  /** Messages in it. */
  #waiting = 0;
  /** Who waits for the next event. @type {(() => void)[]} */
  #waiters = [];
  #ready = new Outcome();
  #closed = new Outcome();

  /**
   * @internal
   * @param {string} subject
   * @param {((message: Message<T>) => unknown) | null} callback
   * @param {Owner} owner
   */
  constructor(subject, callback, owner) {
    /** What is subscribed to. */
    this.subject = subject;
    this.#callback = callback;
    this.#owner = owner;
  }

  /**
   * What to give as `resume` to go on later, in another client, too. It covers what the application has taken.
   *
   * @returns {Place}
   */
  get place() {
    return { ...this.#place };
  }

  /** Resolves when the server has answered; rejects with a `SubscribeError` if it refuses, `ClosedError` if the client closes. */
  get ready() {
    return this.#ready.promise;
  }

  /** Resolves when it has been ended here; rejects with a `SubscribeError` or `ClosedError` if it was ended otherwise. */
  get closed() {
    return this.#closed.promise;
  }

  /** End it: nothing is handed over any more. */
  unsubscribe() {
    this.#queue = [];
    this.#waiting = 0;
    this.#owner.end();
  }

  /** The same as `unsubscribe`. */
  close() {
    this.unsubscribe();
  }

  /** @returns {AsyncIterator<Message<T>, undefined>} */
  [Symbol.asyncIterator]() {
    if (this.#callback) throw new TypeError("a subscription with a callback cannot be iterated over");
    return { next: () => this.#next() };
  }

  // For the client.

  /** Messages that wait for the application. @internal */
  get waiting() {
    return this.#waiting;
  }

  /** @internal @param {SubscriptionEvent} event */
  put(event) {
    if (event.type === "subscribed" || event.type === "resumed") this.#ready.resolve();
    if (this.#callback) {
      const message = this.#take(event);
      if (message) this.#owner.call(this.#callback, message, `the callback of ${this.subject} failed at ${message.log} ${message.at}`);
    } else {
      this.#queue.push(event);
      if (event.type === "message") this.#waiting += 1;
      this.#wakeUp();
    }
  }

  /**
   * Nothing more will come.
   *
   * @internal
   * @param {Error | null} error null: ended by the application
   * @param {Error} early for who still waits for the server's answer
   * @param {boolean} isTold whether the application hears of the error anyhow
   * @returns {boolean} whether it does now
   */
  finish(error, early, isTold) {
    const waits = !this.#ready.isOver && this.#ready.isWatched;
    this.#ready.reject(error ?? early, error === null || isTold);
    if (error) this.#closed.reject(error, isTold);
    else this.#closed.resolve();
    this.#wakeUp();
    return isTold || waits || this.#closed.isWatched || this.#callback === null;
  }

  #wakeUp() {
    for (const wake of this.#waiters.splice(0)) wake();
  }

  /** @returns {Promise<IteratorResult<Message<T>, undefined>>} */
  async #next() {
    for (;;) {
      for (let event = this.#queue.shift(); event !== undefined; event = this.#queue.shift()) {
        if (event.type === "message") this.#waiting -= 1;
        this.#owner.took();
        const message = this.#take(event);
        if (message) return { done: false, value: message };
      }
      if (this.#closed.isOver) {
        if (this.#closed.error) throw this.#closed.error;
        return { done: true, value: undefined };
      }
      await new Promise((resolve) => this.#waiters.push(() => resolve(undefined)));
    }
  }

  /**
   * What the application gets for this event; statuses are told.
   *
   * @param {SubscriptionEvent} event
   */
  #take(event) {
    if (event.type === "place") {
      this.#place = event.place;
    } else if (event.type === "message") {
      const { log, at, snapshot } = event.message;
      const had = this.#place[log];
      if (!snapshot && (!had || at[0] > had[0] || (at[0] === had[0] && at[1] > had[1]))) this.#place[log] = at;
      return event.message;
    } else {
      this.#owner.tell(event, this);
    }
    return null;
  }
}

/** A promise that is created on first use, so that an error for which no code waits is neither silent nor reported twice. */
export class Outcome {
  /** @type {Promise<void> | undefined} */
  #promise;
  #settle = { resolve: () => {}, reject: (/** @type {Error} */ _) => {} };
  isOver = false;
  /** @type {Error | null} */
  error = null;

  get isWatched() {
    return this.#promise !== undefined;
  }

  /** @returns {Promise<void>} */
  get promise() {
    this.#promise ??= new Promise((resolve, reject) => {
      if (!this.isOver) this.#settle = { resolve, reject };
      else if (this.error) reject(this.error);
      else resolve();
    });
    return this.#promise;
  }

  resolve() {
    if (this.isOver) return;
    this.isOver = true;
    this.#settle.resolve();
  }

  /** @param {Error} error @param {boolean} quietly whether it may go unhandled */
  reject(error, quietly) {
    if (this.isOver) return;
    this.isOver = true;
    this.error = error;
    if (quietly) this.#promise?.catch(() => {});
    this.#settle.reject(error);
  }
}
